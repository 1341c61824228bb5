package agent

import (
	"time"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// unit is a unit that the machine has or has to have.
type unit struct {
	// want is the wanted state; the zero value if the machine must not have the unit.
	want want
	installed
	phase phase
	// retry fires at the end of the phase retrying.
	retry    *time.Timer
	failures int
	// actions counts the actions that have ended: a state that systemd reported before the
	// last of them is out of date.
	actions int
	// released is the revision of the last assignment that was removed. The watch brings the
	// removal, or the next assignment, later.
	released int64
	// current is the state that systemd has, published the one that etcd has; dirty is set
	// while current waits to be written.
	current, published store.State
	dirty              bool

	// waitsFor is the unit for which this one is not started yet; waitingSince is when it
	// began to wait for its order alone.
	waitsFor     string
	waitingSince time.Time
	// problem is why systemd refused the last action; "" after one that succeeded.
	problem string
	// cascadeStopped is set when systemd stops the unit together with one that it depends
	// on: it has to be started again.
	cascadeStopped bool
}

// phase is what the agent does with a unit at the moment.
//
//	idle, halted -> an action   next has chosen it: installing, starting, stopping, removing
//	                            or releasing
//	an action    -> idle        it has succeeded
//	an action    -> retrying    it has failed
//	retrying     -> idle        the pause has ended, or the assignment has changed
//	idle         -> halted      systemd reports that fleet-guard has stopped a unit that the
//	                            agent has started
//	halted       -> idle        systemd reports that the unit is launched after all, or the
//	                            lease was renewed: next starts the unit again
//
// An action begins only in idle and halted, so a unit never has two at a time.
type phase int

const (
	idle phase = iota
	halted
	installing
	starting
	stopping
	removing
	releasing
	retrying
)

func (p phase) String() string {
	return [...]string{"idle", "halted", "installing", "starting", "stopping", "removing", "releasing", "retrying"}[p]
}

// busy reports whether no action can begin: another one is under way, or has failed and the
// pause after it has not ended.
func (p phase) busy() bool { return p != idle && p != halted }

// begin enters the phase of an action.
func (u *unit) begin(action phase) {
	u.phase, u.cascadeStopped, u.waitingSince = action, false, time.Time{}
}

// observed is the phase after systemd has said whether a unit is launched.
func (u *unit) observed(launched bool) {
	switch {
	case u.phase.busy():
	case u.run.launched() && !launched:
		u.phase = halted
	default:
		u.phase = idle
	}
}

// cancelRetry ends the pause after a failure, if there is one.
func (u *unit) cancelRetry() {
	if u.retry != nil && u.retry.Stop() {
		u.phase, u.retry = idle, nil
	}
}

// runState is whether the agent has started an installed unit, by the last call to systemd.
//
//	any          -> started        a start has succeeded
//	any          -> stopped        a stop has succeeded
//	stopped      -> maybeStarted   a call has failed
//	started      -> maybeStopped   a call has failed
//	started      -> stopped        fleet-guard has stopped the unit, or an install has failed
//	maybeStopped -> maybeStarted   after the unit was stopped: the same
type runState int

const (
	stopped runState = iota
	started
	// maybeStarted is a stopped unit after a call to systemd that failed: it may run.
	maybeStarted
	// maybeStopped is a started unit after a call to systemd that failed: it may be stopped.
	maybeStopped
)

// launched reports whether the last call that succeeded was a start.
func (r runState) launched() bool { return r == started || r == maybeStopped }

// unsure reports whether the last call failed.
func (r runState) unsure() bool { return r == maybeStarted || r == maybeStopped }

// failed is the state after a call that failed.
func (r runState) failed() runState {
	switch r {
	case stopped:
		return maybeStarted
	case started:
		return maybeStopped
	}
	return r
}

// unlaunched is the state after something other than the agent has stopped a unit.
func (r runState) unlaunched() runState {
	switch r {
	case started:
		return stopped
	case maybeStopped:
		return maybeStarted
	}
	return r
}

// installed is a unit that the agent has installed in systemd.
type installed struct {
	// hash is the hash of the file; "" if systemd does not know the unit.
	hash string
	run  runState
	// bound is set if the unit cannot run elsewhere, global if every machine has it.
	bound, global, runOnce bool
	needs                  unitfile.Needs
	conflicts              []string
}

func (is installed) isStandIn() bool { return is.hash == standInHash }

// want is an assignment, with the revision that wrote it.
type want struct {
	store.Assignment
	revision int64
	global   bool
	// requirements has those of a global unit that decide whether the machine runs it.
	requirements unitfile.Requirements
}

func (w want) isStandIn() bool { return w.Hash == standInHash }

// runs reports whether the machine has to have the unit.
func (w want) runs() bool { return w.Target == schema.Loaded || w.Target == schema.Launched }
