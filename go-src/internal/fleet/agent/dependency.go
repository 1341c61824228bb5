package agent

import (
	"context"
	"slices"
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// systemd orders units that are on one machine. For units of the cluster on other machines the
// agent follows their states, and starts a unit that depends on them when systemd would.

// orderTimeout is how long a unit waits for others because of After= alone. It is the time for
// which systemd waits by default (DefaultTimeoutStartSec=).
const orderTimeout = 90 * time.Second

// setInstalled records what systemd has of a unit. It also sets again what is wanted of the units
// that the unit depends on or depended on, because their stand-ins come and go.
func (a *Agent) setInstalled(ctx context.Context, name string, is installed) {
	concerned := a.link(name, is)
	if a.session.complete() {
		for _, other := range concerned {
			a.setWanted(ctx, other)
		}
	}
}

// link records what systemd has of a unit, with its dependencies. It returns the units that
// were or are named in them.
func (a *Agent) link(name string, is installed) (concerned []string) {
	u := a.units[name]
	before := u.needs.All()
	if u.installed = is; is.hash == "" || is.hash == unknown {
		u.current, u.published = store.State{}, store.State{} // the action may have removed the state, too
	}
	now := is.needs.All()
	for _, other := range now {
		if a.dependents[other] == nil {
			a.dependents[other] = map[string]bool{}
		}
		a.dependents[other][name] = true
		a.followPeer(other)
	}
	for _, other := range before {
		if slices.Contains(now, other) {
			continue
		}
		if delete(a.dependents[other], name); len(a.dependents[other]) == 0 {
			delete(a.dependents, other)
			a.unfollowPeer(other)
		}
	}
	return append(before, now...)
}

// isLocal reports whether this machine has to have a unit itself.
func (a *Agent) isLocal(name string) bool {
	u := a.units[name]
	return u != nil && u.want.runs() && !u.want.isStandIn()
}

// waitsFor returns the first unit before which another one must not be started; "" if it can be
// started now.
func (a *Agent) waitsFor(ctx context.Context, name string, u *unit) string {
	if other := a.conflict(name, u); other != "" {
		return other
	}
	for _, other := range u.needs.All() {
		if a.mustWait(ctx, name, u, other) {
			return other
		}
	}
	return ""
}

// mustWait reports whether a unit must wait for one that it names.
func (a *Agent) mustWait(ctx context.Context, name string, u *unit, other string) bool {
	p, o := a.peer(other), a.units[other]
	requires := u.needs.DependsOn(other)
	switch {
	case requires && o != nil && o.phase.busy(): // it may be about to stop
		return true
	case a.isLocal(other):
		// systemd orders the two itself, once it was asked to start the other one. Without After=
		// it starts both at the same time, as it does for units that depend on each other.
		switch pending := o.phase.busy() || !o.run.launched(); {
		case !pending:
			return false
		case o.want.Target == schema.Launched:
			return slices.Contains(u.needs.After, other) && a.keepsOrder(ctx, name, u)
		}
		return u.cascadeStopped && requires
	case p == nil || p.known < jobRead:
		return true
	case !p.inCluster():
		return false
	case requires && canStandIn(other) && (o == nil || !o.isStandIn()):
		return true
	case slices.Contains(u.needs.BindsTo, other) && !p.is(active), requires && !p.is(good):
		return true
	}
	return p.job.Target == schema.Launched && !p.is(settled) && a.keepsOrder(ctx, name, u)
}

// keepsOrder reports whether a unit still waits for one that it does not depend on. The first
// call starts the clock.
func (a *Agent) keepsOrder(ctx context.Context, name string, u *unit) bool {
	if u.waitingSince.IsZero() {
		u.waitingSince = time.Now()
		time.AfterFunc(orderTimeout, func() { a.send(ctx, orderTimedOut{name}) })
	}
	return time.Since(u.waitingSince) < orderTimeout
}

// lostDependency reports whether a launched unit has to stop because a unit on another machine,
// on which it depends, was stopped or does not run.
func (a *Agent) lostDependency(u *unit) bool {
	if !u.run.launched() {
		return false
	}
	for _, other := range u.needs.All() {
		p := a.peer(other)
		if a.isLocal(other) || !p.inCluster() {
			continue
		}
		if slices.Contains(u.needs.Requires, other) && p.job.Target != schema.Launched ||
			slices.Contains(u.needs.BindsTo, other) && p.known == statesRead && !p.is(active) {
			return true
		}
	}
	return false
}

// cascadeStop notes which units systemd stops together with one that is about to stop.
func (a *Agent) cascadeStop(name string) {
	for other := range a.dependents[name] {
		u := a.units[other]
		if u != nil && u.needs.DependsOn(name) && (u.phase.busy() || u.run.launched() && active(u.current)) {
			u.cascadeStopped = true
		}
	}
}
