package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"coreos/test/machine"
)

// shared holds what several tests start from and each would otherwise make anew.
// Each thing is made by the first test that asks for it.
type shared struct {
	dir string
	mu  sync.Mutex
	of  map[string]*thing
}

type thing struct {
	once sync.Once
	err  error
}

func newShared(dir string) (*shared, error) {
	return &shared{dir: dir, of: map[string]*thing{}}, os.MkdirAll(dir, 0o755)
}

// errUnfinished is the error of the other tests if the one that made a shared thing failed
// over it. That failure ends the test's goroutine, and make with it.
var errUnfinished = errors.New("the test that was the first to need it failed to make it")

// path returns the path of the named thing, made by make if it is not there yet.
func (s *shared) path(name string, make func(path string) error) (string, error) {
	s.mu.Lock()
	if s.of[name] == nil {
		s.of[name] = new(thing)
	}
	it := s.of[name]
	s.mu.Unlock()
	path := filepath.Join(s.dir, name)
	it.once.Do(func() {
		it.err = errUnfinished
		it.err = make(path)
	})
	if it.err != nil {
		return "", fmt.Errorf("%s, which several tests share: %w", name, it.err)
	}
	return path, nil
}

// Shared returns the path of something that several tests use, made by the first.
func (t *T) Shared(name string, make func(path string)) string {
	t.Helper()
	path, err := t.Env.shared.path(name, func(path string) error {
		make(path)
		return nil
	})
	t.Must(err)
	return path
}

// DiskFrom makes the throw-away disk as over the shared disk name, which prepare
// alters once.
func (t *T) DiskFrom(name string, prepare func(*machine.Disk), as string) *machine.Disk {
	t.Helper()
	base, err := t.Env.shared.path(name+".qcow2", func(path string) error {
		disk, err := machine.NewDisk(filepath.Dir(path), name, t.Env.Image, 0)
		if err == nil {
			prepare(disk)
		}
		return err
	})
	t.Must(err)
	disk, err := machine.NewDisk(t.Dir, as, base, 0)
	t.Must(err)
	return disk
}

// savedState is the name of the state within a saved machine's disk.
const savedState = "ready"

// Restore continues a machine that was saved once, when ready had seen it come up
// from the disk that boots it; that takes a second instead of a boot.
func (t *T) Restore(name string, disk func() *machine.Disk, ready func(*machine.Machine)) *machine.Machine {
	t.Helper()
	saved, err := t.Env.shared.path("saved-"+name, func(path string) error {
		from := disk()
		m := t.Start(machine.Config{Name: "saved-" + name, Disk: from})
		ready(m)
		m.Disconnect()
		if err := m.Save(savedState); err != nil {
			return err
		}
		m.Cut()
		return os.Rename(from.Path, path)
	})
	t.Must(err)
	copied, err := (&machine.Disk{Path: saved}).Copy(t.Dir, "disk")
	t.Must(err)
	return t.Start(machine.Config{Disk: copied, LoadVM: savedState})
}
