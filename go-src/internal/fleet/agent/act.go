package agent

import (
	"context"
	"log/slog"
	"time"

	"coreos/internal/fleet/schema"
)

// act begins the next action on a unit, if there is one and no other is under way.
func (a *Agent) act(ctx context.Context, name string) {
	u := a.units[name]
	if u == nil || u.phase.busy() {
		return
	}
	action := a.next(ctx, name, u)
	u.current.Waiting = u.waitsFor
	a.markDirty(name)
	if action == idle {
		if !u.want.runs() && u.want.revision == 0 && u.hash == "" {
			delete(a.units, name)
		}
		return
	}
	if action == stopping || action == removing || action == installing && u.hash != "" {
		a.cascadeStop(name)
	}
	u.begin(action)
	x, t := executor{a.Store, a.ID, a.Systemd}, task{name, action, u.want, u.installed, a.publication.written}
	go func() { a.send(ctx, x.do(ctx, t)) }()
}

// next returns the phase of the action that brings a unit closer to what is wanted, idle if
// there is none. It notes for which other unit this one waits.
func (a *Agent) next(ctx context.Context, name string, u *unit) phase {
	u.waitsFor = ""
	switch {
	case !u.want.runs() && (u.hash != "" || u.global): // etcd has the state of a global unit that systemd refused
		return removing
	case !u.want.runs():
		if u.want.revision <= u.released || u.want.global || a.lease() == 0 {
			return idle
		}
		return releasing
	case u.want.Hash != u.hash:
		return installing
	case u.want.Target == schema.Loaded && u.run != stopped && !u.want.isStandIn(), a.lostDependency(u):
		return stopping
	case u.mustStart():
		if u.waitsFor = a.waitsFor(ctx, name, u); u.waitsFor == "" && !a.installPending() {
			return starting
		}
	}
	return idle
}

// mustStart reports whether a unit is wanted launched and may not be.
func (u *unit) mustStart() bool {
	return u.want.Target == schema.Launched && (u.run != started || u.cascadeStopped)
}

// installPending reports whether systemd is about to get a unit that it does not know. No unit
// is started before that, because it may name the new one in BindsTo= or After=.
func (a *Agent) installPending() bool {
	for _, u := range a.units {
		if u.want.runs() && u.hash == "" && u.failures == 0 {
			return true
		}
	}
	return false
}

// startInstalled starts the units that waited until systemd knows all. It acts on no others:
// the agent may not have read what is wanted of them.
func (a *Agent) startInstalled(ctx context.Context) {
	if a.installPending() {
		return
	}
	for name, u := range a.units {
		if u.mustStart() {
			a.act(ctx, name)
		}
	}
}

// endAction applies the result of an action, and goes on with the unit, with the units that depend
// on it, and with those that waited for it. is is nil if the action has changed nothing in
// systemd.
func (a *Agent) endAction(ctx context.Context, name string, is *installed, err error) {
	u := a.units[name]
	if u == nil {
		return
	}
	if u.hash == "" {
		defer a.startInstalled(ctx) // the install has succeeded, or failed and is not waited for
	}
	if is != nil {
		a.setInstalled(ctx, name, *is)
		u.actions++
	}
	a.noteRefusal(name, u, err)
	a.readState(ctx, name)
	if err != nil {
		a.retryLater(ctx, name, u, err)
		return
	}
	u.failures, u.phase, u.problem = 0, idle, ""
	a.act(ctx, name)
	a.actDependents(ctx, name)
	a.actWaiting(ctx, name)
}

// retryLater begins a pause, after which the failed action is tried again. Each failure in a
// row doubles the pause, up to a minute.
func (a *Agent) retryLater(ctx context.Context, name string, u *unit, err error) {
	u.failures++
	pause := min(time.Second<<min(u.failures-1, 6), time.Minute)
	slog.Warn("an action on a unit has failed, and is tried again", "unit", name, "in", pause, "error", err)
	a.Metrics.failed()
	u.phase = retrying
	u.retry = time.AfterFunc(pause, func() { a.send(ctx, retryDue{name}) })
}

// resume acts on a unit after the pause that follows a failure. There may be nothing left to do, so
// that the units that wait for it can go on.
func (a *Agent) resume(ctx context.Context, name string) {
	a.act(ctx, name)
	a.actWaiting(ctx, name)
}

// actDependents acts on the units that name one in Requires=, BindsTo= or After=.
func (a *Agent) actDependents(ctx context.Context, name string) {
	for other := range a.dependents[name] {
		if u := a.units[other]; u != nil && u.want.runs() {
			a.act(ctx, other)
		}
	}
}

// actWaiting acts on the units that wait for another one.
func (a *Agent) actWaiting(ctx context.Context, name string) {
	for other, u := range a.units {
		if u.waitsFor == name {
			a.act(ctx, other)
		}
	}
}

// readState asks systemd for the state of an installed unit.
func (a *Agent) readState(ctx context.Context, name string) {
	u := a.units[name]
	if u == nil || u.hash == "" || u.hash == unknown {
		return
	}
	actions := u.actions
	go func() {
		state, err := a.Systemd.State(ctx, name)
		if err != nil {
			slog.Warn("the state of a unit cannot be read from systemd", "unit", name, "error", err)
			return
		}
		a.send(ctx, stateRead{name, state, actions})
	}()
}
