package locksmith

import (
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
)

// Status is what the daemon does.
type Status struct {
	State coordinator.State
	Text  string // what it waits for, in words
	// Version runs, Next does after the restart.
	Version, Next string
	// Window is when the next reboot window begins, zero if that is not waited for.
	Window time.Time
	// Locked tells whether the machine restarts with the lock of its group alone.
	Locked bool
	// Waits tells whether the lock is all that is missing.
	Waits bool
	// Lock is the semaphore as last seen, nil without one.
	Lock *semaphore.Semaphore
	// Trouble tells whether etcd or update-engine could not be asked.
	Trouble bool
}

// Machine is what the group is told of the machine.
func (d *Daemon) Machine(s Status) lock.Machine {
	m := lock.Machine{
		ID: d.ID, Host: d.Name, Version: s.Version, Next: s.Next, State: string(s.State), Window: s.Window.UTC(),
	}
	if s.State == coordinator.RebootPlanned {
		m.Waiting = s.Text
	}
	if s.Window.IsZero() {
		m.Window = s.Window
	}
	if s.Waits {
		m.Turn = 1
	}
	return m
}
