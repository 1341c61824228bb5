package etcdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// etcd returns the path of the server: COREOS_ETCD if set, else it is built, once in the
// life of the process.
var etcd = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("COREOS_ETCD"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "etcdtest-")
	if err != nil {
		return "", err
	}
	// The file is run through a descriptor that this process keeps, so that nothing is left
	// behind if the process is killed.
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "etcd")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "coreos/cmd/etcd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build etcd: %w\n%s", err, out)
	}
	built, err = os.Open(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), built.Fd()), nil
})

// built keeps the descriptor open.
var built *os.File

// starts are commands to start. The kernel kills a child with Pdeathsig when the thread
// that started it ends, so one thread that never ends starts them all.
var starts = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

func start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	starts() <- func() { result <- cmd.Start() }
	return <-result
}
