package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"coreos/internal/update/status"
)

// subscribe subscribes to update-engine's signals and to changes of the owner of its name.
func (c *Client) subscribe(ctx context.Context) (<-chan *dbus.Signal, func(), error) {
	signals := make(chan *dbus.Signal, 64)
	c.bus.Signal(signals)
	matches := [][]dbus.MatchOption{
		{dbus.WithMatchObjectPath(Path), dbus.WithMatchInterface(Interface), dbus.WithMatchMember("StatusUpdate")},
		{dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, Name)},
	}
	end := func() {
		c.bus.RemoveSignal(signals)
		for _, match := range matches {
			_ = c.bus.RemoveMatchSignal(match...)
		}
	}
	for _, match := range matches {
		if err := c.bus.AddMatchSignalContext(ctx, match...); err != nil {
			end()
			return nil, nil, fmt.Errorf("D-Bus: %w", err)
		}
	}
	return signals, end, nil
}

// Follower keeps the latest status of update-engine.
type Follower struct {
	client  *Client
	changed chan struct{}

	mu     sync.Mutex
	status status.Status
	err    error
}

// Follow returns a follower that is kept up to date until the context ends.
func (c *Client) Follow(ctx context.Context) *Follower {
	f := &Follower{client: c, changed: make(chan struct{}, 1), err: errors.New("the status of update-engine is not known yet")}
	go f.run(ctx)
	return f
}

// Changed receives a value after a change of the status, or after several.
func (f *Follower) Changed() <-chan struct{} { return f.changed }

// Status returns the latest status, or an error that says why it is not known.
func (f *Follower) Status() (status.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.err
}

func (f *Follower) learn(s status.Status, err error) {
	f.mu.Lock()
	f.status, f.err = s, err
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// again is the pause after an error on the bus.
const again = 5 * time.Second

func (f *Follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		f.learn(status.Status{}, f.follow(ctx))
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

func (f *Follower) follow(ctx context.Context) error {
	signals, end, err := f.client.subscribe(ctx)
	if err != nil {
		return err
	}
	defer end()
	for {
		s, err := f.client.Status(ctx)
		if err != nil {
			return err
		}
		if requested, err := f.client.rebootRequested(); err != nil {
			return err
		} else if requested {
			s.Operation = status.NeedReboot
		}
		f.learn(s, nil)
		select {
		case _, ok := <-signals:
			if !ok {
				return errors.New("D-Bus: the connection ended")
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
