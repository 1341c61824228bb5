package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolated is set in the environment of a process that Isolate has started.
const isolated = "COREOS_TEST_ISOLATED"

// Isolate runs this program in namespaces of its own, as a child with the same arguments,
// and ends with its exit status: processes, mounts, networks and loop devices of the tests
// go when that child ends, in whatever way. In the child it returns nil and the program
// goes on. Without root it returns an error, and the program goes on as it is.
func Isolate() error {
	if inside(os.Getenv(isolated), os.Getpid()) {
		return settleIn()
	}
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	// Both end when their parent ends: go test, and this thread.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	runtime.LockOSThread()
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), isolated+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("namespaces of its own: %w", err)
	}
	err := child.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		os.Exit(max(1, exit.ExitCode()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
	return nil
}

// inside tells whether a process is the child of Isolate: the first one of its namespace, not
// one that merely inherits the environment, whose mounts would be the host's.
func inside(environment string, pid int) bool { return environment != "" && pid == 1 }

// socketDir is a directory with a short path for small files. An isolated process has one that
// goes when the process ends, in whatever way; for others it is the system's.
func socketDir() string {
	if inside(os.Getenv(isolated), os.Getpid()) {
		return "/run"
	}
	return os.TempDir()
}

// settleIn makes the new namespaces usable.
func settleIn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	for _, m := range []struct{ fstype, target string }{{"proc", "/proc"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m.fstype, m.target, m.fstype, unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return ip("link set lo up")
}
