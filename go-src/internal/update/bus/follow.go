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
	asked  bool
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
	s := f.status
	if f.asked && f.err == nil {
		s.Operation = status.NeedReboot
	}
	return s, f.err
}

// PrepareReboot calls the method of Client.
func (f *Follower) PrepareReboot(ctx context.Context) (kexec bool, err error) {
	return f.client.PrepareReboot(ctx)
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
		f.learn(s, nil)
		select {
		case signal, ok := <-signals:
			if !ok {
				return errors.New("D-Bus: the connection ended")
			}
			f.ask(ctx, signal)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask handles the signal that locksmithctl send-need-reboot sends in the place of
// update-engine. Every process can send signals; only one from root is accepted.
func (f *Follower) ask(ctx context.Context, signal *dbus.Signal) {
	if signal.Name != Interface+".StatusUpdate" || len(signal.Body) < 3 || signal.Body[2] != string(status.NeedReboot) {
		return
	}
	if owner, err := f.client.ownerOf(ctx, Name); err == nil && owner == signal.Sender {
		return
	}
	var uid uint32
	if err := f.client.bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, signal.Sender).Store(&uid); err != nil || uid != 0 {
		return
	}
	f.mu.Lock()
	f.asked = true
	f.mu.Unlock()
}

func (c *Client) ownerOf(ctx context.Context, name string) (string, error) {
	var owner string
	err := c.bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, name).Store(&owner)
	return owner, err
}

// grace is how long the sender of a signal stays on the bus. Receivers ask the bus for the
// user of the sender, which fails after the sender has left; nothing tells the sender that
// they have asked.
const grace = 3 * time.Second

// SendNeedReboot sends the signal by which update-engine announces that the machine needs a
// restart. It returns after grace.
func SendNeedReboot(ctx context.Context, bus *dbus.Conn) error {
	if err := bus.Emit(Path, Interface+".StatusUpdate", int64(0), float64(0), string(status.NeedReboot), "", int64(0)); err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	select {
	case <-time.After(grace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
