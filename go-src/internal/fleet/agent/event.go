package agent

import (
	"context"

	"coreos/internal/fleet/store"
)

// event is a message to the agent's loop. Each kind of message is a type of its own; the loop
// handles one after the other.
type event interface {
	handle(ctx context.Context, a *Agent)
}

// sessionBegan says that the machine has a new lease, or, if the context of the session has
// ended, that the cluster may run the machine's units elsewhere.
type sessionBegan struct{ session *session }

func (e sessionBegan) handle(ctx context.Context, a *Agent) { a.beginSession(ctx, e.session) }

// recordsChanged is a batch of records from etcd that a session follows. peer is the unit that
// the records are about, if they come from fromJob or fromStates.
type recordsChanged struct {
	session *session
	from    source
	peer    string
	batch   store.Batch
}

func (e recordsChanged) handle(ctx context.Context, a *Agent) {
	if e.session == a.session {
		a.update(ctx, e)
	}
}

// stateRead is a state that systemd reported. actions is the unit's count of actions when the
// agent asked.
type stateRead struct {
	unit    string
	state   State
	actions int
}

func (e stateRead) handle(ctx context.Context, a *Agent) {
	u := a.units[e.unit]
	if u == nil || e.actions != u.actions || e.state.Pending {
		return // the state is of a time before the last action, or about to change
	}
	a.observe(ctx, e.unit, u, e.state)
}

// actionEnded is the end of an action that concerns systemd. installed is what systemd has now,
// nil if the action has changed nothing.
type actionEnded struct {
	unit      string
	installed *installed
	err       error
}

func (e actionEnded) handle(ctx context.Context, a *Agent) {
	a.endAction(ctx, e.unit, e.installed, e.err)
}

// assignmentReleased is the end of an attempt to remove an assignment. revision is the one that
// the assignment had.
type assignmentReleased struct {
	unit     string
	revision int64
	err      error
}

func (e assignmentReleased) handle(ctx context.Context, a *Agent) {
	if u := a.units[e.unit]; u != nil && e.err == nil {
		u.released = max(u.released, e.revision)
	}
	a.endAction(ctx, e.unit, nil, e.err)
}

// retryDue ends the pause after an action that failed.
type retryDue struct{ unit string }

func (e retryDue) handle(ctx context.Context, a *Agent) {
	if u := a.units[e.unit]; u != nil {
		u.phase, u.retry = idle, nil
		a.resume(ctx, e.unit)
	}
}

// orderTimedOut says that a unit has waited long enough for those that come before it.
type orderTimedOut struct{ unit string }

func (e orderTimedOut) handle(ctx context.Context, a *Agent) { a.act(ctx, e.unit) }

// statesWritten is the end of a transaction that writes states.
type statesWritten struct {
	// failed were not written because the transaction failed.
	failed []string
	err    error // why
	// refused were not written because this machine had no assignment of them.
	refused []string
}

func (e statesWritten) handle(ctx context.Context, a *Agent) { a.published(ctx, e) }

// publishAgain says that a refused state can be written once more.
type publishAgain struct{ unit string }

func (e publishAgain) handle(_ context.Context, a *Agent) { a.markDirty(e.unit) }
