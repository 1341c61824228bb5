package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coreos/internal/fleet/unitfile"
	"coreos/test/etcdtest"
)

// upstreamLimit is how long upstream has to start all units.
const upstreamLimit = 5 * time.Minute

// runUpstream does the same as run, with upstream's fleet on Debian's etcd. A unit counts as
// launched when it was started, before etcd is told, which favours upstream.
func runUpstream(t *testing.T, machines, units, dead int) (is figures) {
	output, top := os.Getenv("COREOS_OUTPUT"), os.Getenv("COREOS_TOP")
	binary := filepath.Join(t.TempDir(), "cluster")
	run(t, "env", "-C", filepath.Join(top, "go-src/test/upstreamfleet"), "go", "build", "-buildvcs=false", "-o", binary, "./cluster")
	etcd := etcdtest.New(t, 1, etcdtest.Binary(debianEtcd(t, filepath.Join(output, "bench"))), etcdtest.Flags("--enable-v2"))

	cmd := exec.Command(binary, "-etcd", etcd.Endpoint(0), "-machines", fmt.Sprint(machines), "-dead", fmt.Sprint(dead),
		"-ttl", leaseTime.String(), "-limit", upstreamLimit.String(), "-units", unitFiles(t, units))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	commands, answers := pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	expect(t, answers, "ready", time.Minute)
	before, start := measure(t, etcd), time.Now()
	expect(t, answers, "submitted", 10*time.Minute)
	is.submitted = time.Since(start)
	answer := expect(t, answers, "launched", upstreamLimit+time.Minute)
	is.launched = time.Since(start)
	if _, err := fmt.Sscanf(answer, "launched only %d", &is.started); err == nil {
		is.launched = upstreamLimit
		return is
	}
	is.changing = measure(t, etcd).since(before)
	is.idle(t, etcd)
	start = time.Now()
	fmt.Fprintln(commands, "fail")
	expect(t, answers, "failover", 10*time.Minute)
	is.failover = time.Since(start)
	return is
}

// unitFiles writes the units into a directory.
func unitFiles(t *testing.T, units int) string {
	dir := t.TempDir()
	for i := range units {
		unit := benchUnit(i)
		if err := os.WriteFile(filepath.Join(dir, unit.Name), []byte(unitfile.Of(unit).String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pipes(t *testing.T, cmd *exec.Cmd) (io.Writer, <-chan string) {
	commands, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(output); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return commands, lines
}

// expect waits for a line that begins with a text.
func expect(t *testing.T, lines <-chan string, want string, limit time.Duration) string {
	t.Helper()
	select {
	case line := <-lines:
		if !strings.HasPrefix(line, want) {
			t.Fatalf("upstream's cluster says %q, want %q", line, want)
		}
		return line
	case <-time.After(limit):
		t.Fatalf("upstream's cluster does not say %q in %s", want, limit)
	}
	return ""
}
