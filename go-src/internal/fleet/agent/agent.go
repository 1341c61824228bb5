// Package agent is what every machine of a fleet cluster does: it has its systemd run
// the units that the machine was given, and says in etcd how they are.
//
// It reads its own assignments, the units of all machines and its own metadata, and is
// told of changes; nothing is asked for in turns. Units go on running while etcd is away,
// and when the agent itself is stopped; see Session for what happens when the machine's
// lease ends.
package agent

import (
	"context"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	fleetstore "coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// Systemd is the machine's. Methods are called for several units at a time.
type Systemd interface {
	// Units returns what was installed by earlier runs of the agent.
	Units(context.Context) (map[string]Found, error)
	// Install has systemd know a unit.
	Install(ctx context.Context, name, text string) error
	// Remove has it forget one that was stopped.
	Remove(ctx context.Context, name string) error
	// Start starts a unit and does not wait for it.
	Start(ctx context.Context, name string) error
	// Stop stops a unit and waits until it has.
	Stop(ctx context.Context, name string) error
	State(ctx context.Context, name string) (State, error)
	// Changes says which units may have got another state.
	Changes() <-chan string
}

// Found is a unit that an earlier run of the agent installed.
type Found struct {
	Text string
	// Launched is whether it was started, and not stopped since.
	Launched bool
}

// State is systemd's of a unit.
type State struct {
	Load, Active, Sub string
	// Launched is whether it was started, and nobody of fleet has stopped it since.
	Launched bool
	// Ended is whether it was started and has ended since, without a failure.
	Ended bool
	// Pending is while it is still as it was before it was asked to start: a change
	// follows.
	Pending bool
}

// Agent runs the units of one machine.
type Agent struct {
	Store   *fleetstore.Store
	ID      string
	Systemd Systemd
	Metrics *Metrics

	sessions chan *session
	results  chan result
	units    map[string]*unit
	// needed has the units of this machine that need another one, by its name.
	needed   map[string]map[string]bool
	session  *session
	flush    chan flushed
	renewals chan struct{}
	flushing bool
	// written is closed when the states that are being written are.
	written chan struct{}
	timer   *time.Timer // fires when states are to be written
}

// unit is a unit that the machine has or has to have.
type unit struct {
	// want is what has to be; the zero value if the machine has nothing to do with it.
	want want
	installed
	// busy is while something is done with it, or after a failure until the pause ends.
	busy     bool
	pause    *time.Timer
	failures int
	// actions counts what was done with it: what systemd said before does not count.
	actions int
	// released is the revision of the last assignment that was given back: another one is
	// on its way here, or none.
	released int64
	// current and published are the states that systemd has and etcd knows.
	current, published fleetstore.State
	dirty              bool

	// waiting is the unit for which it is not started yet, since is when that began.
	waiting string
	since   time.Time
	// fell is after systemd stopped it because it stopped what it needs, halted after the
	// guard did.
	fell, halted bool
}

// installed is a unit that systemd knows from the agent.
type installed struct {
	// hash is that of the file, "" if systemd does not know the unit.
	hash     string
	launched bool
	// unsure is after an attempt to start or stop it that failed.
	unsure bool
	// bound is whether it cannot run elsewhere, global whether every machine has it.
	bound, global, runOnce bool
	needs                  unitfile.Needs
	conflicts              []string
}

// want is an assignment, with the revision that made it.
type want struct {
	fleetstore.Assignment
	revision int64
	global   bool
	// requirements are those of a global unit that count.
	requirements unitfile.Requirements
}

func (w want) isStandIn() bool { return w.Hash == standInHash }

func (w want) runs() bool { return w.Target == schema.Loaded || w.Target == schema.Launched }

// New returns an agent.
func New(store *fleetstore.Store, id string, systemd Systemd, m *Metrics) *Agent {
	a := &Agent{
		Store: store, ID: id, Systemd: systemd, Metrics: m,
		sessions: make(chan *session), results: make(chan result), units: map[string]*unit{}, needed: map[string]map[string]bool{},
		flush: make(chan flushed), renewals: make(chan struct{}, 1), timer: time.NewTimer(0),
		written: make(chan struct{}),
	}
	close(a.written) // nothing is
	a.timer.Stop()
	return a
}

// Run runs units until the context ends; they go on running then.
func (a *Agent) Run(ctx context.Context) error {
	units, err := a.Systemd.Units(ctx)
	if err != nil {
		return err
	}
	for name, found := range units {
		a.units[name] = &unit{}
		a.set(name, adopt(name, found))
		a.look(ctx, name)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-a.sessions:
			a.begin(ctx, s)
		case update := <-a.session.updated():
			a.update(ctx, update)
		case r := <-a.results:
			a.finish(ctx, r)
		case name := <-a.Systemd.Changes():
			a.look(ctx, name)
		case <-a.timer.C:
			a.write(ctx)
		case again := <-a.flush:
			a.flushed(ctx, again)
		case <-a.renewals:
			a.renewed(ctx)
		}
		a.Metrics.units(len(a.units))
	}
}

// unknown is the hash of what has to be replaced or removed, whatever it is.
const unknown = "unknown"

// adopt takes over a unit from an earlier run. A file that cannot be read is replaced.
func adopt(name string, found Found) installed {
	is := installed{hash: unknown}
	if file, err := unitfile.Parse(found.Text); err == nil {
		if is, err = read(name, file); err != nil {
			is = installed{hash: file.Hash().String()}
		}
	}
	is.launched = found.Launched
	return is
}

// read is what a file says of a unit that is installed.
func read(name string, file *unitfile.File) (installed, error) {
	is := installed{hash: file.Hash().String()}
	n, err := unitfile.ParseName(name)
	if err != nil {
		return is, err
	}
	r, err := file.Requirements(n)
	is.bound, is.global, is.runOnce = r.Global || r.MachineID != "" || is.isStandIn(), r.Global, r.RunOnce
	is.needs, is.conflicts = file.Needs(n), r.Conflicts
	return is, err
}

// Stays reports whether a unit that was found cannot be run by another machine.
func Stays(name string, found Found) bool {
	is := adopt(name, found)
	return is.bound || is.global
}

// result is what came of an action on a unit: one of its members.
type result struct {
	name string
	is   *installed // what is installed now, if the action got as far
	err  error
	// released is the revision of the assignment that was given back.
	released int64
	// state is what systemd says; again that a pause has ended; write that the state has
	// to be written once more.
	state        *State
	actions      int
	again, write bool
	// due is that it may be the unit's turn.
	due bool
}

// look asks systemd for the state of a unit that it knows from the agent.
func (a *Agent) look(ctx context.Context, name string) {
	u := a.units[name]
	if u == nil || u.hash == "" || u.hash == unknown {
		return
	}
	actions := u.actions
	go func() {
		state, err := a.Systemd.State(ctx, name)
		if err != nil {
			slog.Warn("systemd does not say how a unit is", "unit", name, "error", err)
			return
		}
		a.tell(ctx, result{name: name, state: &state, actions: actions})
	}()
}

func (a *Agent) tell(ctx context.Context, r result) {
	select {
	case a.results <- r:
	case <-ctx.Done():
	}
}

// finish takes over what an action or a look found.
func (a *Agent) finish(ctx context.Context, r result) {
	u := a.units[r.name]
	if u == nil {
		return
	}
	switch {
	case r.state != nil && (r.actions != u.actions || r.state.Pending):
		return // it is on its way to another state
	case r.state != nil:
		a.observe(ctx, r.name, u, *r.state)
		return
	case r.write:
		a.soil(r.name)
		return
	case r.due:
		a.act(ctx, r.name)
		return
	case r.again:
		u.busy, u.pause = false, nil
		a.act(ctx, r.name)
		return
	}
	if u.hash == "" {
		defer a.arrived(ctx) // or it will not yet
	}
	if r.is != nil {
		a.become(ctx, r.name, *r.is)
		u.actions++
	}
	a.look(ctx, r.name)
	if r.err != nil {
		a.fail(ctx, r.name, u, r.err)
		return
	}
	u.failures, u.busy, u.released = 0, false, max(u.released, r.released)
	a.act(ctx, r.name)
	a.actNeedy(ctx, r.name)
	a.actRivals(ctx, r.name)
}

// fail has another attempt made after a pause.
func (a *Agent) fail(ctx context.Context, name string, u *unit, err error) {
	u.failures++
	pause := min(time.Second<<min(u.failures-1, 6), time.Minute)
	slog.Warn("a unit is not as it should be, and another attempt is made", "unit", name, "in", pause, "error", err)
	a.Metrics.failed()
	u.pause = time.AfterFunc(pause, func() { a.tell(ctx, result{name: name, again: true}) })
}

// lease is the current one, 0 while there is none.
func (a *Agent) lease() clientv3.LeaseID {
	if a.session == nil || a.session.ctx.Err() != nil {
		return 0
	}
	return a.session.lease
}
