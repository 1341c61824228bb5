package agent

import "context"

// Systemd is the machine's systemd. The agent calls methods for several units at a time.
type Systemd interface {
	// Units returns the units that earlier runs of the agent installed.
	Units(context.Context) (map[string]Found, error)
	// Install makes a unit known to systemd.
	Install(ctx context.Context, name, text string) error
	// Remove makes systemd forget a stopped unit. Stop and Remove leave alone a unit of the same
	// name that the machine has from elsewhere; Install and Start fail then with Refused.
	Remove(ctx context.Context, name string) error
	// Start starts a unit and does not wait for it.
	Start(ctx context.Context, name string) error
	// Stop stops a unit and waits until it has stopped.
	Stop(ctx context.Context, name string) error
	State(ctx context.Context, name string) (State, error)
	// Changes has the names of units whose state may have changed.
	Changes() <-chan string
}

// Refused is the error of a call that systemd cannot carry out because of the unit itself: its file is
// wrong, a unit that it requires does not exist, or the machine has another unit of its name.
type Refused struct{ Reason string }

func (r Refused) Error() string { return r.Reason }

// Found is a unit that an earlier run of the agent installed.
type Found struct {
	Text string
	// Launched is set if the unit was started, and not stopped since.
	Launched bool
}

// State is the state that systemd reports for a unit.
type State struct {
	Load, Active, Sub string
	// Launched is set if the unit was started, and neither the daemon nor the guard has
	// stopped it since.
	Launched bool
	// Ended is set if the unit was started and has ended without a failure.
	Ended bool
	// Problem is why the unit does not run, if systemd has another reason than that its program
	// failed; "" for none.
	Problem string
	// Pending is set while a start is queued: the state is about to change.
	Pending bool
}
