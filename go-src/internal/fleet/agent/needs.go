package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// What units need of each other is systemd's while they are on one machine. Of units of the
// cluster that are elsewhere the agent follows how they are, and starts what needs them when
// systemd would. So that systemd takes Requires= and BindsTo=, it gets a unit that stands in
// for the other one.

const standInText = `[Unit]
Description=Stands in for a unit of the cluster that another machine has

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
`

var standIn, standInHash = func() (*unitfile.File, string) {
	file, err := unitfile.Parse(standInText)
	if err != nil {
		panic(err)
	}
	return file, file.Hash().String()
}()

// StandIn is the file of what stands in for a unit that another machine has.
func StandIn() string { return standIn.String() }

func (is installed) isStandIn() bool { return is.hash == standInHash }

// orderTime is how long a unit waits for others because of After= alone: as long as systemd
// waits, unless it is told otherwise (DefaultTimeoutStartSec=).
const orderTime = 90 * time.Second

// peer is a unit that others of this machine need, as etcd has it.
type peer struct {
	ctx  context.Context // ends when nobody needs it any longer
	stop context.CancelFunc
	// job is nil if the cluster has no such unit, or it was not read.
	job *store.Job
	// states are by machine; nil until there is a job.
	states map[string]store.State
	// read and statesRead are whether they were.
	read, statesRead bool
}

// become has a unit be installed as that, and what stands in for others.
func (a *Agent) become(ctx context.Context, name string, is installed) {
	concerned := a.set(name, is)
	if a.session.complete() {
		for _, other := range concerned {
			a.want(ctx, other)
		}
	}
}

// set has a unit be installed as that, and returns what it needed or needs.
func (a *Agent) set(name string, is installed) (concerned []string) {
	u := a.units[name]
	was := u.needs.All()
	if u.installed = is; is.hash == "" || is.hash == unknown { // its state may have been removed, too
		u.current, u.published = store.State{}, store.State{}
	}
	all := is.needs.All()
	for _, other := range all {
		if a.needed[other] == nil {
			a.needed[other] = map[string]bool{}
		}
		a.needed[other][name] = true
		a.meet(other)
	}
	for _, other := range was {
		if slices.Contains(all, other) {
			continue
		}
		if delete(a.needed[other], name); len(a.needed[other]) == 0 {
			delete(a.needed, other)
			a.part(other)
		}
	}
	return append(was, all...)
}

// meet begins to follow a unit that others need.
func (a *Agent) meet(name string) {
	s := a.session
	if s == nil || s.ctx.Err() != nil || s.peers[name] != nil {
		return
	}
	p := &peer{}
	p.ctx, p.stop = context.WithCancel(s.ctx)
	s.peers[name] = p
	go a.Store.Follow(p.ctx, a.Store.Job(name), s.updater(p.ctx, fromJob, name))
}

// part ends that.
func (a *Agent) part(name string) {
	if p := a.peer(name); p != nil {
		p.stop()
		delete(a.session.peers, name)
	}
}

// peer is what is known of a unit that others need; nil if that is nothing.
func (a *Agent) peer(name string) *peer {
	if a.session == nil {
		return nil
	}
	return a.session.peers[name]
}

// updatePeer takes over what etcd says of a unit that others need.
func (a *Agent) updatePeer(up update) {
	p := a.peer(up.peer)
	if p == nil {
		return
	}
	if up.from == fromStates {
		p.updateStates(up)
		return
	}
	p.read = true
	if up.batch.Reset {
		p.job = nil
	}
	for _, event := range up.batch.Events {
		if event.Key != "" { // of a unit whose name begins with this one
			continue
		}
		p.job = nil
		if event.Value == nil {
			continue
		}
		job, err := store.Decode[store.Job](event.Value)
		if err != nil {
			slog.Warn("a unit that others need cannot be read, and counts as not there", "unit", up.peer, "error", err)
			continue
		}
		p.job = &job
	}
	if p.inCluster() && p.states == nil {
		p.states = map[string]store.State{}
		go a.Store.Follow(p.ctx, a.Store.UnitStates(up.peer), a.session.updater(p.ctx, fromStates, up.peer))
	}
}

func (p *peer) updateStates(up update) {
	p.statesRead = true
	if up.batch.Reset {
		clear(p.states)
	}
	for _, event := range up.batch.Events {
		delete(p.states, event.Key)
		if event.Value == nil {
			continue
		}
		if state, err := store.Decode[store.State](event.Value); err == nil {
			p.states[event.Key] = state
		}
	}
}

// inCluster reports whether it is a unit that the cluster has somewhere. One that every
// machine has is systemd's business.
func (p *peer) inCluster() bool { return p != nil && p.job != nil && !p.job.Global }

// is reports whether it was started, and is in a state that is asked for.
func (p *peer) is(in func(store.State) bool) bool {
	if p.job.Target != schema.Launched {
		return false
	}
	for _, state := range p.states {
		if state.Hash == p.job.Hash && state.Current == schema.Launched && in(state) {
			return true
		}
	}
	return p.job.Finished != "" && in(store.State{Active: "inactive"})
}

// settled is after a start, good after one without a failure, active before it ends.
func settled(s store.State) bool { return s.Active != "activating" }
func good(s store.State) bool    { return settled(s) && s.Active != "failed" }
func active(s store.State) bool {
	return slices.Contains([]string{"active", "reloading", "refreshing"}, s.Active)
}

// here reports whether a unit is on this machine.
func (a *Agent) here(name string) bool {
	u := a.units[name]
	return u != nil && u.want.runs() && !u.want.isStandIn()
}

// standsIn reports whether this machine has to have a stand-in for a unit.
func (a *Agent) standsIn(name string) bool {
	p, u := a.peer(name), a.units[name]
	switch {
	case !canStandIn(name) || !a.isNeeded(name):
		return false
	case p == nil || !p.read:
		return u != nil && u.isStandIn() // from an earlier run
	}
	return p.inCluster()
}

// canStandIn reports whether it is of the type of a stand-in.
func canStandIn(name string) bool { return strings.HasSuffix(name, ".service") }

// isNeeded reports whether a unit of this machine cannot run without another one.
func (a *Agent) isNeeded(name string) bool {
	for other := range a.needed[name] {
		if u := a.units[other]; u != nil && u.needs.Cannot(name) {
			return true
		}
	}
	return false
}

// waits is the first of the units for which another one has to wait; "" if it can be started.
func (a *Agent) waits(ctx context.Context, name string, u *unit) string {
	if rival := a.rival(name, u); rival != "" {
		return rival
	}
	for _, other := range u.needs.All() {
		p, o := a.peer(other), a.units[other]
		cannot := u.needs.Cannot(other)
		switch {
		case cannot && o != nil && o.busy: // it may be about to stop
			return other
		case a.here(other):
			// systemd looks after the rest once it was asked to start the other one.
			if (o.busy || !o.launched) && (u.fell && cannot || o.want.Target == schema.Launched && a.patient(ctx, name, u)) {
				return other
			}
		case p == nil || !p.read:
			return other
		case !p.inCluster():
		case cannot && canStandIn(other) && (o == nil || !o.isStandIn()):
			return other
		case slices.Contains(u.needs.BindsTo, other) && !p.is(active), cannot && !p.is(good):
			return other
		case p.job.Target == schema.Launched && !p.is(settled) && a.patient(ctx, name, u):
			return other
		}
	}
	return ""
}

// patient reports whether a unit goes on waiting for what it need not have.
func (a *Agent) patient(ctx context.Context, name string, u *unit) bool {
	if u.since.IsZero() {
		u.since = time.Now()
		time.AfterFunc(orderTime, func() { a.tell(ctx, result{name: name, due: true}) })
	}
	return time.Since(u.since) < orderTime
}

// bereft reports whether a unit has to stop because of one that is elsewhere.
func (a *Agent) bereft(u *unit) bool {
	if !u.launched {
		return false
	}
	for _, other := range u.needs.All() {
		p := a.peer(other)
		if a.here(other) || !p.inCluster() {
			continue
		}
		if slices.Contains(u.needs.Requires, other) && p.job.Target != schema.Launched ||
			slices.Contains(u.needs.BindsTo, other) && p.statesRead && !p.is(active) {
			return true
		}
	}
	return false
}

// topple notes which units systemd stops along with one.
func (a *Agent) topple(name string) {
	for other := range a.needed[name] {
		u := a.units[other]
		if u != nil && u.needs.Cannot(name) && (u.busy || u.launched && active(u.current)) {
			u.fell = true
		}
	}
}

// actNeedy goes on with the units that need one with which something happened.
func (a *Agent) actNeedy(ctx context.Context, name string) {
	for other := range a.needed[name] {
		if u := a.units[other]; u != nil && u.want.runs() {
			a.act(ctx, other)
		}
	}
}
