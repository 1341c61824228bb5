package unit

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSetStatus is systemd: it takes a message and looks who sent it.
func TestSetStatus(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("speaking for another process needs CAP_SYS_ADMIN")
	}
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.SetsockoptInt(int(file.Fd()), unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		t.Fatal(err)
	}
	if err := SetStatus(socket, other.Process.Pid, "WARNING: full\nMAINPID=1"); err != nil {
		t.Fatal(err)
	}
	text, control := make([]byte, 200), make([]byte, 200)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, controlN, _, _, err := conn.ReadMsgUnix(text, control)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlN])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	from, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil || int(from.Pid) != other.Process.Pid {
		t.Errorf("sent in the name of %+v, %v; want process %d", from, err, other.Process.Pid)
	}
	if got := string(text[:n]); got != "STATUS=WARNING: full MAINPID=1" {
		t.Errorf("got %q", got)
	}
}

func TestNoSystemd(t *testing.T) {
	if err := SetStatus(filepath.Join(t.TempDir(), "none"), os.Getpid(), "x"); err == nil {
		t.Error("no error without a socket")
	}
}

// TestServiceOf reads properties with the types that D-Bus gives them.
func TestServiceOf(t *testing.T) {
	s, err := serviceOf(map[string]any{
		"Environment":      []string{"ETCD_NAME=node1"},
		"EnvironmentFiles": [][]any{{"/etc/etcd/etcd.conf.env", true}, {"/run/more.env", false}},
		"ExecStart":        [][]any{{"/usr/bin/etcd", []string{"/usr/bin/etcd", "--name=x"}, false, uint64(0)}},
		"UnsetEnvironment": []string{"ETCD_DEBUG"}, "PassEnvironment": []string{"LANG"},
	})
	want := Service{
		Program: "/usr/bin/etcd", Args: []string{"--name=x"}, Environment: []string{"ETCD_NAME=node1"},
		Files: []string{"/etc/etcd/etcd.conf.env", "/run/more.env"}, Unset: []string{"ETCD_DEBUG"}, Pass: []string{"LANG"},
	}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := serviceOf(map[string]any{"ExecStart": [][]any{}}); err == nil {
		t.Error("a unit without ExecStart= is read")
	}
}
