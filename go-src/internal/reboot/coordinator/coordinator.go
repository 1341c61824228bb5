// Package coordinator writes /run/update-engine/coordinator.conf, the file that says which
// program restarts this machine after updates, and in which state that program is.
// locksmith 0.5 introduced it. The program holds a lock on the file.
package coordinator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Path is the path of the file.
const Path = "/run/update-engine/coordinator.conf"

// State is the state of the coordinator.
type State string

// The states.
const (
	Starting      State = "starting"
	Disabled      State = "disabled"       // it does not restart the machine, as configured
	Running       State = "running"        // it waits for an update
	RebootPlanned State = "reboot-planned" // it waits until the machine may restart
	Rebooting     State = "rebooting"
)

// Coordinator is the locked file.
type Coordinator struct {
	file           *os.File
	name, strategy string
}

// ErrTaken says that another program holds the lock.
var ErrTaken = errors.New("another program coordinates the restarts of this machine")

// New opens and locks the file at a path. It creates the file if necessary.
func New(path, name, strategy string) (*Coordinator, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrTaken
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	c := &Coordinator{file, name, strategy}
	return c, c.Set(Starting)
}

// Set writes the state. A reader may see a part of it, as with upstream's: the file is not
// replaced, since it carries the lock.
func (c *Coordinator) Set(state State) error {
	text := fmt.Appendf(nil, "NAME=%s\nSTRATEGY=%s\nSTATE=%s\n", c.name, c.strategy, state)
	if _, err := c.file.WriteAt(text, 0); err != nil {
		return fmt.Errorf("%s: %w", c.file.Name(), err)
	}
	return c.file.Truncate(int64(len(text)))
}

// Close releases the lock.
func (c *Coordinator) Close() error { return c.file.Close() }
