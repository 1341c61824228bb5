// Package coordinator says in a file who restarts this machine after updates, and what
// it is about to do: /run/update-engine/coordinator.conf, as locksmith 0.5 introduced
// it. Whoever coordinates holds a lock on the file.
package coordinator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Path is where programs look for it.
const Path = "/run/update-engine/coordinator.conf"

// State is what the coordinator does.
type State string

// The states.
const (
	Starting      State = "starting"
	Disabled      State = "disabled"       // it does not restart the machine, as configured
	Running       State = "running"        // it waits for an update
	RebootPlanned State = "reboot-planned" // it waits for the moment to restart
	Rebooting     State = "rebooting"
)

// Coordinator is the file, locked.
type Coordinator struct {
	file           *os.File
	name, strategy string
}

// ErrTaken says that another program coordinates.
var ErrTaken = errors.New("another program coordinates the restarts of this machine")

// New locks the file at a path, which is made if need be.
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

// Set writes the state. Readers that look while it is written see a part of it, as with
// upstream's: the file cannot be replaced, since it is what the lock is on.
func (c *Coordinator) Set(state State) error {
	text := fmt.Appendf(nil, "NAME=%s\nSTRATEGY=%s\nSTATE=%s\n", c.name, c.strategy, state)
	if _, err := c.file.WriteAt(text, 0); err != nil {
		return fmt.Errorf("%s: %w", c.file.Name(), err)
	}
	return c.file.Truncate(int64(len(text)))
}

// Close gives the file free.
func (c *Coordinator) Close() error { return c.file.Close() }
