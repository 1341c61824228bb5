package locksmith

import (
	"time"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
)

// Status is the status of the daemon.
type Status struct {
	State coordinator.State
	Text  string // what it waits for, in words
	// Version is the running version, Next the version after the restart.
	Version, Next string
	// Window is the start of the reboot window that the daemon waits for; zero if it waits
	// for none.
	Window time.Time
	// Locked says that the machine needs the lock of its group to restart.
	Locked bool
	// Waits says that only the lock is missing.
	Waits bool
	// Lock is the semaphore as it was last read, nil without a lock.
	Lock *semaphore.Semaphore
	// Trouble says that etcd, D-Bus or update-engine could not be asked.
	Trouble bool
}

// Machine returns what the machine announces to its group.
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
