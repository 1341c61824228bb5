// Package fleettest has clusters of fleet's machines on simulated systemds.
package fleettest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"coreos/internal/fleetagent"
)

// Systemd is the systemd of one machine, as far as fleet can see. It outlives the daemon.
type Systemd struct {
	// Stopping is how long a unit takes to stop.
	Stopping time.Duration
	// Fails makes a call fail, after it was done or before; nil makes none.
	Fails func() (fails, done bool)
	// Ran and Stopped are told when a unit begins and ends to run; nil for nobody.
	Ran, Stopped func(unit string)
	// Starting is told before a unit is started; nil for nobody.
	Starting func(unit string)

	mu      sync.Mutex
	units   map[string]fleetagent.Found
	changes chan string
}

var _ fleetagent.Systemd = (*Systemd)(nil)

// NewSystemd returns one that has no units.
func NewSystemd() *Systemd {
	return &Systemd{units: map[string]fleetagent.Found{}, changes: make(chan string, 1024)}
}

// Reboot ends all units and forgets them.
func (s *Systemd) Reboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, unit := range s.units {
		if unit.Launched && s.Stopped != nil {
			s.Stopped(name)
		}
	}
	clear(s.units)
}

// Running returns how many units run.
func (s *Systemd) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, unit := range s.units {
		if unit.Launched {
			n++
		}
	}
	return n
}

// Units implements fleetagent.Systemd.
func (s *Systemd) Units(context.Context) (map[string]fleetagent.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.units), nil
}

// Changes implements fleetagent.Systemd.
func (s *Systemd) Changes() <-chan string { return s.changes }

// errFails is what a call ends with that was made to fail.
var errFails = errors.New("systemd is not well")

// try does something that may fail.
func (s *Systemd) try(do func() error) error {
	if s.Fails == nil {
		return do()
	}
	fails, done := s.Fails()
	if !fails || done {
		if err := do(); err != nil || !fails {
			return err
		}
	}
	return errFails
}

// Install implements fleetagent.Systemd.
func (s *Systemd) Install(_ context.Context, name, text string) error {
	return s.try(func() error { return s.install(name, text) })
}

func (s *Systemd) install(name, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units[name].Launched {
		return errors.New("it runs")
	}
	s.units[name] = fleetagent.Found{Text: text}
	return nil
}

// Remove implements fleetagent.Systemd.
func (s *Systemd) Remove(_ context.Context, name string) error {
	return s.try(func() error { return s.remove(name) })
}

func (s *Systemd) remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units[name].Launched {
		return errors.New("it runs")
	}
	delete(s.units, name)
	return nil
}

// Start implements fleetagent.Systemd.
func (s *Systemd) Start(_ context.Context, name string) error {
	if s.Starting != nil {
		s.Starting(name)
	}
	return s.try(func() error { return s.set(name, true) })
}

// Stop implements fleetagent.Systemd.
func (s *Systemd) Stop(ctx context.Context, name string) error {
	if s.Stopping > 0 {
		select {
		case <-time.After(s.Stopping):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.try(func() error { return s.set(name, false) })
}

func (s *Systemd) set(name string, launched bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unit, there := s.units[name]
	if !there {
		if launched {
			return errors.New("no such unit")
		}
		return nil
	}
	if unit.Launched != launched {
		tell := s.Ran
		if !launched {
			tell = s.Stopped
		}
		if tell != nil {
			tell(name)
		}
	}
	unit.Launched = launched
	s.units[name] = unit
	return nil
}

// State implements fleetagent.Systemd.
func (s *Systemd) State(_ context.Context, name string) (fleetagent.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unit, there := s.units[name]
	switch {
	case !there:
		return fleetagent.State{Load: "not-found", Active: "inactive", Sub: "dead"}, nil
	case unit.Launched:
		return fleetagent.State{Load: "loaded", Active: "active", Sub: "running"}, nil
	}
	return fleetagent.State{Load: "loaded", Active: "inactive", Sub: "dead"}, nil
}
