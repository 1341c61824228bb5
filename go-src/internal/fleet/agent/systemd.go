package agent

import "context"

// Systemd is the machine's systemd. The agent calls methods for several units at a time.
type Systemd interface {
	// Units returns the units that earlier runs of the agent installed.
	Units(context.Context) (map[string]Found, error)
	// Install makes a unit known to systemd.
	Install(ctx context.Context, name, text string) error
	// Remove makes systemd forget a stopped unit.
	Remove(ctx context.Context, name string) error
	// Start starts a unit and does not wait for it.
	Start(ctx context.Context, name string) error
	// Stop stops a unit and waits until it has stopped.
	Stop(ctx context.Context, name string) error
	State(ctx context.Context, name string) (State, error)
	// Changes has the names of units whose state may have changed.
	Changes() <-chan string
}

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
	// Pending is set while a start is queued: the state is about to change.
	Pending bool
}
