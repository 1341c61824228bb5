package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/settings"
	"coreos/test/etcdtest"
)

// machine is the new machine: it has the address of member i, and etcd-member.service
// starts that member with the environment file.
type machine struct {
	t       *testing.T
	member  *etcdtest.Member
	envFile string
	data    datadir.Dir
	fail    error // what Start does, in place of starting
	failing bool  // etcd is being started again and again
}

func (m *machine) Active(context.Context) (bool, error) { return m.member.Running(), nil }

func (m *machine) Failing(context.Context) (bool, error) { return m.failing, nil }

func (m *machine) Stop(context.Context) error {
	m.failing = false
	return m.member.Kill()
}

func (m *machine) Start(context.Context) error {
	if m.fail != nil {
		return m.fail
	}
	text, err := os.ReadFile(m.envFile)
	if err != nil {
		return err
	}
	var env []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ETCD_") {
			env = append(env, line)
		}
	}
	if err := m.member.Renew(env); err != nil {
		return err
	}
	// The program looks for a former life here, etcd has its data elsewhere.
	if err := os.MkdirAll(filepath.Join(string(m.data), "member"), 0o700); err != nil {
		return err
	}
	return m.member.Start()
}

func newMachine(t *testing.T, member *etcdtest.Member) *machine {
	dir := t.TempDir()
	m := &machine{t: t, member: member, envFile: filepath.Join(dir, "etcd.conf.env"), data: datadir.Dir(filepath.Join(dir, "etcd"))}
	text := "# of the operator\nETCD_HEARTBEAT_INTERVAL=50\nETCD_ELECTION_TIMEOUT=500\nETCD_UNSAFE_NO_FSYNC=true\nETCD_DISCOVERY=https://discovery.example.com/1\n"
	if err := os.WriteFile(m.envFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) replacement(dead, name string, endpoints []string) *member.Replacement {
	m.t.Helper()
	env, err := settings.FromFile(m.envFile)
	if err != nil {
		m.t.Fatal(err)
	}
	return &member.Replacement{
		Etcd: conn.Config{Endpoints: endpoints}, Dead: dead, Name: name, PeerURL: m.member.PeerURL(),
		Settings: env, Data: m.data, Unit: m, Now: time.Now, Say: m.t.Logf,
	}
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// members returns the members that Survey finds, as "name vote" in the order of names.
func members(t *testing.T, endpoints []string) map[string]bool {
	t.Helper()
	c, err := member.Survey(limit(t), conn.Config{Endpoints: endpoints})
	if err != nil {
		t.Fatal(err)
	}
	healthy := map[string]bool{}
	for _, m := range c.Members {
		healthy[m.Name] = m.Healthy() && !m.Learner
	}
	return healthy
}

func put(t *testing.T, c *etcdtest.Cluster, i int, key, value string) {
	t.Helper()
	if _, err := c.Client(t, c.Endpoint(i)).Put(limit(t), key, value); err != nil {
		t.Fatal(err)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	put(t, c, 0, "before", "1")
	if err := c.Member(2).Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(limit(t), 0, 1); err != nil {
		t.Fatal(err)
	}
	put(t, c, 0, "meanwhile", "2")
	m := newMachine(t, c.Member(2))
	r := m.replacement("m2", "m2", c.Endpoints())
	if err := r.Run(limit(t)); err != nil {
		t.Fatal(err)
	}
	if got := members(t, c.Endpoints()); len(got) != 3 || !got["m0"] || !got["m1"] || !got["m2"] {
		t.Errorf("got members %v", got)
	}
	got, err := c.Client(t, c.Endpoint(2)).Get(limit(t), "meanwhile")
	if err != nil || len(got.Kvs) != 1 {
		t.Errorf("the new member has not what was written: %v, %v", got, err)
	}
	text, _ := os.ReadFile(m.envFile)
	for _, want := range []string{"# of the operator\n", "ETCD_INITIAL_CLUSTER_STATE=existing\n", "ETCD_NAME=m2\n", "ETCD_HEARTBEAT_INTERVAL=50\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "DISCOVERY") || strings.Contains(string(text), "etcd-memberctl") {
		t.Errorf("left in the settings:\n%s", text)
	}
	if err := r.Run(limit(t)); err != nil {
		t.Errorf("run again: %v", err)
	}
	// The new member counts for the quorum: the cluster outlives the loss of another one.
	if err := c.Member(0).Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(limit(t), 1, 2); err != nil {
		t.Fatal(err)
	}
	put(t, c, 2, "after", "3")
}

// TestReplaceInterrupted interrupts the replacement after each step.
func TestReplaceInterrupted(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	if err := c.Member(1).Kill(); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, c.Member(1))
	r := m.replacement("m1", "new", c.Endpoints())
	step := errors.New("interrupted")
	// The replacement is interrupted when it prints that a step is done.
	for _, word := range []string{"removed", "added", "wrote"} {
		ctx, cancel := context.WithCancel(limit(t))
		r.Say = func(format string, args ...any) {
			t.Logf(format, args...)
			if strings.HasPrefix(format, word) {
				cancel()
			}
		}
		m.fail = step
		if err := r.Run(ctx); err == nil {
			t.Fatalf("%s: it went on", word)
		}
		cancel()
	}
	r.Unit = nil
	if err := r.Run(limit(t)); !errors.Is(err, member.ErrNotStarted) {
		t.Errorf("got %v", err)
	}
	r.Unit, r.Say, m.fail = m, t.Logf, nil
	if err := r.Run(limit(t)); err != nil {
		t.Fatal(err)
	}
	if got := members(t, c.Endpoints()); len(got) != 3 || !got["m0"] || !got["new"] || !got["m2"] {
		t.Errorf("got members %v", got)
	}
}

func TestReplaceRefused(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	m := newMachine(t, c.Member(2))
	refused := func(what, dead, want string, change func(*member.Replacement)) {
		t.Helper()
		r := m.replacement(dead, "new", c.Endpoints())
		change(r)
		if err := r.Run(limit(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	as := func(*member.Replacement) {}
	refused("no such member", "m7", "no such member", as)
	elsewhere := func(r *member.Replacement) { r.Unit, r.PeerURL = nil, "http://192.0.2.1:2380" }
	refused("a member that is well", "m2", "it is not dead", elsewhere)
	refused("the URL of another", "m1", "peer URL", func(r *member.Replacement) { r.Unit, r.Force = nil, true })
	refused("the name of another", "m2", "the name of this machine", func(r *member.Replacement) { elsewhere(r); r.Name, r.Force = "m0", true })
	refused("no TLS among TLS", "m2", "ETCD_PEER_CERT_FILE", func(r *member.Replacement) { elsewhere(r); r.PeerURL = "https://192.0.2.1:2380" })
	refused("loopback", "m2", "cannot reach", func(r *member.Replacement) { r.PeerURL = "http://127.0.0.1:2380" })
	if err := c.Member(2).Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(string(m.data), "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	refused("data of a former life", "m2", "--wipe", as)
	if err := c.Member(1).Kill(); err != nil {
		t.Fatal(err)
	}
	refused("no quorum", "m2", "no quorum", as)
	if text, _ := os.ReadFile(m.envFile); strings.Contains(string(text), "replaces") {
		t.Errorf("settings were changed:\n%s", text)
	}
}

// TestReplaceWipe replaces a member by the same machine, whose data are no longer trusted.
func TestReplaceWipe(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	if err := c.Member(2).Kill(); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, c.Member(2))
	if err := os.MkdirAll(filepath.Join(string(m.data), "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	id := ""
	if s, err := member.Survey(limit(t), conn.Config{Endpoints: c.Endpoints()}); err == nil {
		dead, _ := s.Find("m2")
		id = fmt.Sprintf("%x", dead.ID)
	}
	r := m.replacement(id, "m2", c.Endpoints())
	r.Wipe = true
	if err := r.Run(limit(t)); err != nil {
		t.Fatal(err)
	}
	if former, _ := filepath.Glob(filepath.Join(string(m.data)+"-former", "*", "member", "snap")); len(former) != 1 {
		t.Error("the former data are gone")
	}
}
