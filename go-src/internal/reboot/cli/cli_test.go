package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/cli/program"
	"coreos/internal/cli/program/programtest"
	"coreos/internal/cli/singledash"
	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/servertest"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
)

var etcdURL string

func TestMain(m *testing.M) { servertest.Main(m, &etcdURL) }

// run runs the command that has a name, as a process of its own would.
func run(t *testing.T, name string, args ...string) (status int, out, err string) {
	t.Helper()
	r := programtest.Run(t, command(name), singledash.Args(args)...)
	return r.Status, r.Out, r.Err
}

// expect is a call of locksmithctl with what it has to print.
type expect struct {
	args   string
	status int
	out    string // all of it
	err    string // part of it, "" for none
}

func check(t *testing.T, calls []expect) {
	t.Helper()
	for _, c := range calls {
		status, out, err := run(t, "/usr/bin/locksmithctl", strings.Fields(c.args)...)
		if status != c.status || out != c.out || !strings.Contains(err, c.err) || (c.err == "") != (err == "") {
			t.Errorf("locksmithctl %s: status %d, want %d\nout:  %q\nwant: %q\nerr:  %q\nwant: %q", c.args, status, c.status, out, c.out, err, c.err)
		}
	}
}

// group uses a group of its own, so that tests do not share a lock.
func group(t *testing.T) *lock.Lock {
	t.Helper()
	t.Setenv("LOCKSMITHCTL_ENDPOINT", etcdURL)
	t.Setenv("LOCKSMITHCTL_GROUP", t.Name())
	client, err := conn.Dial(conn.Config{Endpoints: []string{etcdURL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return lock.New(client, t.Name())
}

func TestLock(t *testing.T) {
	group(t)
	check(t, []expect{
		{"status", 0, "Available: 1\nMax: 1\n", ""},
		{"set-max 2", 0, "Old-Max: 1\nMax: 2\n", ""},
		{"lock b", 0, "", ""},
		{"lock b", 1, "", "locksmithctl: Error locking: holder exists"},
		{"lock a", 0, "", ""},
		{"lock c", 1, "", "Error locking: held by a, b"},
		{"steal a", 1, "", "the machine was locked by hand; use unlock"},
		{"unlock a", 0, "", ""},
		{"unlock a", 1, "", "Error unlocking: holder does not exist"},
		{"set-max 0", 0, "Old-Max: 2\nMax: 0\n", ""},
		{"-group=other status", 0, "Available: 1\nMax: 1\n", ""},
		{"lock c", 1, "", "no machine may restart: the maximum is 0"},
		{"unlock b", 0, "", ""},
		{"status", 0, "Available: 0\nMax: 0\n", ""},
	})
}

func TestMisuse(t *testing.T) {
	group(t)
	check(t, []expect{
		{"set-max", 2, "", "accepts 1 arg(s), received 0"},
		{"set-max two", 2, "", "invalid maximum value: two"},
		{"set-max -- -1", 1, "", "-1 machines cannot hold the lock"},
		{"steal", 2, "", "accepts 1 arg(s)"},
		{"lock a b", 2, "", "accepts at most 1 arg(s)"},
		{"status now", 2, "", `unexpected argument "now"`},
		{"unlok", 2, "", `unknown command "unlok"; did you mean`},
		{"-nonsense status", 2, "", "unknown flag: --nonsense"},
		{"--endpoint=localhost status", 1, "", `etcd endpoint "localhost": want a URL`},
		{"--etcd-keyfile=x status", 1, "", "give both or neither of --etcd-certfile and --etcd-keyfile"},
	})
	t.Setenv("LOCKSMITHCTL_DEBUG", "perhaps")
	check(t, []expect{{"status", 2, "", "LOCKSMITHCTL_DEBUG"}})
}

func TestUnreachable(t *testing.T) {
	group(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var out, err strings.Builder
	status := program.Run(ctx, client(), []string{"--endpoint=http://127.0.0.1:1", "status"}, program.Streams{Out: &out, Err: &err})
	if status != 1 || !strings.Contains(err.String(), "etcd at [http://127.0.0.1:1]") || !strings.Contains(err.String(), "no machine restarts until") {
		t.Errorf("status %d: %s", status, err.String())
	}
}

// since is when the holders of a test took the lock.
var since = time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC)

// restarting has two machines restart. On one of them the version fails.
func restarting(t *testing.T, l *lock.Lock) {
	t.Helper()
	_, err := l.Change(t.Context(), func(s *semaphore.Semaphore) error {
		if _, err := s.SetMax(2); err != nil {
			return err
		}
		for id, host := range map[string]string{"m1": "web1", "m2": ""} {
			if err := s.Lock(id, semaphore.Holder{Host: host, Why: semaphore.Update, Since: since, From: "1.0.0", To: "2.0.0"}); err != nil {
				return err
			}
		}
		return s.Fail("m1", "slot-health failed")
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatus(t *testing.T) {
	l := group(t)
	restarting(t, l)
	check(t, []expect{
		{"status", 0, `Available: 0
Max: 2

MACHINE ID
m1
m2

Version 2.0.0 FAILED on web1 (m1): slot-health failed
No other machine restarts into this version. To release the lock: locksmithctl unlock m1

HOLDER  HOST  SINCE                 WHY     VERSION         STATE
m1      web1  2026-11-28T04:00:00Z  update  1.0.0 to 2.0.0  failed: slot-health failed
m2      -     2026-11-28T04:00:00Z  update  1.0.0 to 2.0.0  no answer: the machine restarts or is gone
`, ""},
		{"steal m1", 1, "", "version 2.0.0 failed on that machine: slot-health failed; to let other machines try it use unlock"},
		{"steal m2", 0, "", ""},
		{"steal m2", 1, "", "Error stealing: holder does not exist"},
	})
}

func TestStatusJSON(t *testing.T) {
	l := group(t)
	restarting(t, l)
	present(t, l, lock.Machine{ID: "m2", Host: "web2", Version: "2.0.0", State: "reboot-pending"})
	status, out, _ := run(t, "locksmithctl", "status", "--json")
	var got struct {
		Semaphore, Max int
		Holders        []string
		Details        map[string]semaphore.Holder
		Machines       []struct{ ID, Host, State string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s", status, err, out)
	}
	if got.Max != 2 || len(got.Holders) != 2 || got.Details["m1"].FailedVersion != "2.0.0" || len(got.Machines) != 1 || got.Machines[0].Host != "web2" {
		t.Errorf("got %+v", got)
	}
	check(t, []expect{{"steal m2", 1, "", "machine m2 answers; to release its lock anyway use unlock"}})
	if _, out, _ := run(t, "locksmithctl", "status"); !strings.Contains(out, "TURN  MACHINE  HOST") || !strings.Contains(out, "reboot-pending") {
		t.Errorf("status:\n%s", out)
	}
}

// present announces a machine as its daemon does.
func present(t *testing.T, l *lock.Lock, m lock.Machine) {
	t.Helper()
	client, err := conn.Dial(conn.Config{Endpoints: []string{etcdURL}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	presence := l.NewPresence()
	presence.Announce(t.Context(), m)
	t.Cleanup(presence.End)
	for range client.Watch(ctx, "/coreos.com/updateengine/rebootlock/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		if machines, err := l.Machines(ctx); err == nil && len(machines) > 0 {
			return
		}
	}
	t.Fatalf("machine %s is not there", m.ID)
}

func TestNames(t *testing.T) {
	for argv0, want := range map[string]string{
		"/usr/bin/locksmithctl": "locksmithctl", "locksmithctl": "locksmithctl",
		"/usr/lib/locksmith/locksmithd": "locksmithd", "locksmithd": "locksmithd",
	} {
		if got := command(argv0).Name(); got != want {
			t.Errorf("%s: got %s, want %s", argv0, got, want)
		}
	}
	for _, test := range []struct {
		args   []string
		status int
		out    string
		err    string
	}{
		{[]string{"--help"}, 0, "LOCKSMITHD_GROUP is that of --group", ""},
		{[]string{"status"}, 2, "", `unexpected argument "status": locksmithd takes none`},
		{[]string{"-max"}, 2, "", "unknown flag: --max"},
	} {
		status, out, err := run(t, "/usr/lib/locksmith/locksmithd", test.args...)
		if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(err, test.err) {
			t.Errorf("locksmithd %q: status %d, out %q, err %q", test.args, status, out, err)
		}
	}
}

func TestVersion(t *testing.T) {
	check(t, []expect{{"--version", 0, "locksmithctl version 0.6.2\n", ""}})
}

// TestDaemonOff lets the daemon end well when nothing is to restart the machine.
func TestDaemonOff(t *testing.T) {
	t.Setenv("REBOOT_STRATEGY", "off")
	if status, _, err := run(t, "locksmithd"); status != 0 {
		t.Errorf("status %d: %s", status, err)
	}
}
