package etcdtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	clientPort = 2379
	peerPort   = 2380
)

// Member is one etcd. Its methods may be called from several goroutines.
type Member struct {
	index   int
	network *network
	binary  string
	dir     string
	flags   []string
	env     []string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// ownFlags make elections fast: etcd's own intervals, divided by two.
func (m *Member) ownFlags(initial string) []string {
	client, peer := m.network.url(m.index, clientPort), m.network.url(m.index, peerPort)
	return []string{
		"--name", fmt.Sprintf("m%d", m.index),
		"--data-dir", m.DataDir(),
		"--listen-client-urls", client + fmt.Sprintf(",http://127.0.0.1:%d", clientPort),
		"--advertise-client-urls", client,
		"--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer,
		"--initial-cluster", initial,
		"--initial-cluster-token", m.network.name,
		"--heartbeat-interval", "50",
		"--election-timeout", "500",
	}
}

// DataDir is where the member keeps its data, which outlive Kill.
func (m *Member) DataDir() string { return filepath.Join(m.dir, "data") }

// Renew makes the member, which must not run, a new machine at the same address: without
// data, and without flags but for DataDir. It is configured by ETCD_* variables, each
// NAME=value, when it is started next.
func (m *Member) Renew(env []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running() {
		return fmt.Errorf("member %d runs", m.index)
	}
	m.flags, m.env = []string{"--data-dir", m.DataDir()}, append(env, "PATH="+os.Getenv("PATH"))
	return os.RemoveAll(m.DataDir())
}

// PeerURL is the URL that the other members use.
func (m *Member) PeerURL() string { return m.network.url(m.index, peerPort) }

// Endpoint is the URL that clients use.
func (m *Member) Endpoint() string { return m.network.url(m.index, clientPort) }

// Namespace is the name of the member's network namespace, as ip-netns(8) has it. Within
// it the member is also at http://127.0.0.1:2379.
func (m *Member) Namespace() string { return m.network.namespace(m.index) }

// Start starts the member, or starts it again after Kill. It does not wait until the
// member answers: see Cluster.WaitHealthy.
func (m *Member) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running() {
		return fmt.Errorf("member %d runs already", m.index)
	}
	log, err := os.OpenFile(m.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"netns", "exec", m.Namespace(), m.binary}, m.flags...)
	// ip becomes etcd by exec, so signals to it reach etcd.
	cmd := exec.Command("ip", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if m.env != nil {
		cmd.Env = m.env
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := start(cmd); err != nil {
		return fmt.Errorf("start member %d: %w", m.index, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	m.cmd, m.exited = cmd, exited
	return nil
}

func (m *Member) running() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// Running says whether the member's process is there, stopped or not.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running()
}

// Kill ends the member as a power cut does, and waits until it is gone. A member that
// does not run is no error.
func (m *Member) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running() {
		return nil
	}
	_ = m.cmd.Process.Kill()
	select {
	case <-m.exited:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("member %d does not end", m.index)
	}
}

// Pause stops the member's process where it is.
func (m *Member) Pause() error { return m.signal(syscall.SIGSTOP) }

// Resume lets the process go on after Pause.
func (m *Member) Resume() error { return m.signal(syscall.SIGCONT) }

func (m *Member) signal(s os.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running() {
		return fmt.Errorf("member %d, %v: %w", m.index, s, errNotRunning)
	}
	return m.cmd.Process.Signal(s)
}

// Isolate disconnects the member: neither peers nor clients reach it, and no connection is
// closed.
func (m *Member) Isolate() error { return m.network.unplug(m.index) }

// IsolatePeers drops all packets between the member and its peers, in both directions.
// Clients still reach it.
func (m *Member) IsolatePeers() error { return m.network.cut(m.index) }

// Rejoin undoes Isolate and IsolatePeers.
func (m *Member) Rejoin() error { return m.network.rejoin(m.index) }

// do calls f with a client of this member only.
func (m *Member) do(f func(*clientv3.Client) error) error {
	client, err := newClient([]string{m.Endpoint()})
	if err != nil {
		return err
	}
	defer client.Close()
	return f(client)
}

// waitHealthy waits for one linearizable read.
func (m *Member) waitHealthy(ctx context.Context) error {
	return m.do(func(client *clientv3.Client) error {
		for {
			one, cancel := context.WithTimeout(ctx, time.Second)
			_, err := client.Get(one, "health")
			cancel()
			if err == nil {
				return nil
			}
			if !m.Running() {
				return fmt.Errorf("member %d has ended:\n%s", m.index, m.logTail(2<<10))
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("member %d does not answer: %w", m.index, err)
			case <-time.After(poll):
			}
		}
	})
}

// leads returns the term in which the member leads, or 0.
func (m *Member) leads(ctx context.Context) (term int, err error) {
	if !m.Running() {
		return 0, errNotRunning
	}
	err = m.do(func(client *clientv3.Client) error {
		status, err := client.Status(ctx, m.Endpoint())
		if err == nil && status.Leader == status.Header.MemberId {
			term = int(status.RaftTerm)
		}
		return err
	})
	return term, err
}

func (m *Member) logPath() string { return filepath.Join(m.dir, "log") }

// logTail returns the end of the log, at most that many bytes.
func (m *Member) logTail(limit int64) string {
	log, err := os.Open(m.logPath())
	if err != nil {
		return err.Error()
	}
	defer log.Close()
	if _, err := log.Seek(-limit, io.SeekEnd); err != nil {
		_, _ = log.Seek(0, io.SeekStart)
	}
	text, _ := io.ReadAll(io.LimitReader(log, limit))
	return string(text)
}
