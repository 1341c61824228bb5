// Package fleettest simulates what a fleet cluster runs on: etcd, the network, and the systemd of each
// machine. Its tests run whole clusters in simulated time.
package fleettest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/unitfile"
)

// Systemd simulates the systemd of one machine. It outlives the daemon.
type Systemd struct {
	// Stopping is how long a unit takes to stop.
	Stopping time.Duration
	// Fails decides whether a call fails, and whether it has an effect nevertheless; nil for
	// calls that never fail.
	Fails func() (fails, done bool)
	// Ran and Stopped are called when a unit has started and stopped; nil for no call.
	Ran, Stopped func(unit string)
	// Starting is called before a unit is started; nil for no call.
	Starting func(unit string)
	mu       sync.Mutex
	// own are units that fleet has not installed.
	own     []string
	units   map[string]*known
	changes chan string
}

// known is an installed unit.
type known struct {
	text  string
	needs unitfile.Needs
	// launched is set from a start by fleet until fleet stops the unit.
	launched, running bool
}

var _ agent.Systemd = (*Systemd)(nil)

// NewSystemd returns a systemd without units.
func NewSystemd() *Systemd {
	return &Systemd{units: map[string]*known{}, changes: make(chan string, 1024)}
}

// Reboot stops and removes all units.
func (s *Systemd) Reboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, unit := range s.units {
		if unit.running {
			s.tell(s.Stopped, name)
		}
	}
	clear(s.units)
}

// tell calls a function with a unit that is no stand-in.
func (s *Systemd) tell(who func(string), name string) {
	if who != nil && s.units[name].text != agent.StandIn() {
		who(name)
	}
}

// Running returns how many units run.
func (s *Systemd) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, unit := range s.units {
		if unit.running {
			n++
		}
	}
	return n
}

// SetOwn says which units the machine has that fleet has not installed. They run all the time.
func (s *Systemd) SetOwn(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = names
}

// Ends lets a unit end by itself.
func (s *Systemd) Ends(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(name)
}

// Units implements agent.Systemd.
func (s *Systemd) Units(context.Context) (map[string]agent.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]agent.Found, len(s.units))
	for name, unit := range s.units {
		all[name] = agent.Found{Text: unit.text, Launched: unit.launched}
	}
	return all, nil
}

// Changes implements agent.Systemd.
func (s *Systemd) Changes() <-chan string { return s.changes }

// errFails is the error of a call that Fails lets fail.
var errFails = errors.New("systemd is not well")

// try makes a call that may fail.
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

// Install implements agent.Systemd.
func (s *Systemd) Install(_ context.Context, name, text string) error {
	return s.try(func() error { return s.install(name, text) })
}

func (s *Systemd) install(name, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unit := s.units[name]; unit != nil && unit.running {
		return errors.New("it runs")
	}
	file, err := unitfile.Parse(text)
	if err != nil {
		return err
	}
	n, err := unitfile.ParseName(name)
	if err != nil {
		return err
	}
	if slices.Contains(s.own, name) {
		return agent.Refused{Reason: "the machine has " + name}
	}
	s.units[name] = &known{text: text, needs: file.Needs(n)}
	return nil
}

// Remove implements agent.Systemd.
func (s *Systemd) Remove(_ context.Context, name string) error {
	return s.try(func() error { return s.remove(name) })
}

func (s *Systemd) remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unit := s.units[name]; unit != nil && unit.running {
		return errors.New("it runs")
	}
	delete(s.units, name)
	return nil
}

// Start implements agent.Systemd.
func (s *Systemd) Start(_ context.Context, name string) error {
	if s.Starting != nil {
		s.Starting(name)
	}
	return s.try(func() error { return s.set(name, true) })
}

// Stop implements agent.Systemd.
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
	if launched {
		if err := s.start(name); err != nil {
			return err
		}
	} else {
		s.stop(name)
	}
	if unit := s.units[name]; unit != nil {
		unit.launched = launched
	}
	return nil
}

// start starts a unit and, before it, those on which it depends.
func (s *Systemd) start(name string) error {
	unit := s.units[name]
	if unit == nil && slices.Contains(s.own, name) {
		return nil
	}
	if unit == nil {
		return agent.Refused{Reason: "no such unit: " + name}
	}
	was := unit.running
	unit.running = true // units may depend on each other
	for _, other := range slices.Concat(unit.needs.Requires, unit.needs.BindsTo) {
		if o := s.units[other]; o != nil && o.running {
			continue
		}
		if err := s.start(other); err != nil {
			unit.running = was
			return err
		}
	}
	if !was {
		s.tell(s.Ran, name)
		s.changed(name)
	}
	return nil
}

// stop stops a unit and, before it, those that depend on it.
func (s *Systemd) stop(name string) {
	stopped := s.units[name]
	if stopped != nil && stopped.running {
		stopped.running = false // units may depend on each other
		defer func() {
			s.tell(s.Stopped, name)
			s.changed(name)
		}()
	}
	for other, unit := range s.units {
		if unit.running && unit.needs.DependsOn(name) {
			s.stop(other)
		}
	}
}

func (s *Systemd) changed(name string) {
	select {
	case s.changes <- name:
	default:
	}
}

// State implements agent.Systemd.
func (s *Systemd) State(_ context.Context, name string) (agent.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unit := s.units[name]
	switch {
	case unit == nil:
		return agent.State{Load: "not-found", Active: "inactive", Sub: "dead"}, nil
	case unit.running:
		return agent.State{Load: "loaded", Active: "active", Sub: "running", Launched: unit.launched}, nil
	}
	return agent.State{Load: "loaded", Active: "inactive", Sub: "dead", Launched: unit.launched}, nil
}
