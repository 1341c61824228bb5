package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
)

// The API does not report changes, so the commands poll it.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
	// attempt is the unit of --block-attempts, as in upstream.
	attempt = 2 * time.Second
	// few is the number of units up to which each is requested by itself.
	few = 8
)

// patience is the time after which a command prints what it waits for. It is also how long a unit
// has to be missing, failed, inactive or refused before that is an error: systemd restarts some units,
// and the machine tries a refused start again after one and three seconds. Tests shorten it.
var patience = 3 * time.Second

// blocking has the flags of commands that wait.
type blocking struct {
	attempts int
	noBlock  bool
}

func (b *blocking) addFlags(command *cobra.Command, noBlock bool) {
	f := command.Flags()
	f.IntVar(&b.attempts, "block-attempts", 0, "give up after `N` attempts of 2 seconds; 0: never")
	if noBlock {
		f.BoolVar(&b.noBlock, "no-block", false, "do not wait (the command never waits for global units)")
	}
}

// errLate says that the last attempt has failed.
var errLate = errors.New("timed out")

// errNotYet makes poll try again.
var errNotYet = errors.New("not yet")

// poll calls check until it returns true, with growing pauses.
func poll(ctx context.Context, attempts int, check func(context.Context) (done bool, err error)) error {
	if attempts > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(attempts)*attempt, errLate)
		defer cancel()
	}
	pauses := &backoff.ExponentialBackOff{InitialInterval: firstPause, MaxInterval: maxPause, Multiplier: 2}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		done, err := check(ctx)
		switch {
		case done && err == nil:
			return struct{}{}, nil
		case done || err != nil && ctx.Err() == nil:
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, errNotYet
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(0))
	return err
}

// waiter waits for units and tells the operator why.
type waiter struct {
	*app
	left  []string
	began time.Time
	// stuck has the units with a problem that becomes an error if it persists.
	stuck map[string]problem
	told  map[string]string
}

type problem struct {
	text  string
	since time.Time
}

func (a *app) waiter(names []string) *waiter {
	return &waiter{app: a, left: names, began: time.Now(), stuck: map[string]problem{}, told: map[string]string{}}
}

// wait waits until all units are in a state, and prints each one that is.
func (a *app) wait(ctx context.Context, names []string, state string, attempts int) error {
	w := a.waiter(names)
	err := poll(ctx, attempts, func(ctx context.Context) (bool, error) {
		units, err := a.fetch(ctx, w.left)
		if err != nil {
			w.tell("", err.Error())
			return false, nil
		}
		err = w.each(func(name string) (bool, error) {
			u, ok := units[name]
			if !ok {
				return false, w.persists(name, "is not in the cluster any more")
			}
			if u.Problem != "" && u.DesiredState != schema.Inactive {
				w.loadMachines(ctx)
				return false, w.refused(name, u.MachineID, u.Problem)
			}
			delete(w.stuck, name)
			if !reached(u, state) {
				return false, nil
			}
			w.announce(ctx, u)
			return true, nil
		})
		if err == nil && len(w.left) > 0 {
			w.explain(ctx)
		}
		return len(w.left) == 0, err
	})
	if errors.Is(err, errLate) {
		return fmt.Errorf("timed out waiting for %s to report state %s", units(w.left), state)
	}
	return err
}

func units(names []string) string {
	if len(names) == 1 {
		return "unit " + names[0]
	}
	return "units " + strings.Join(names, " ")
}

// reached reports whether a unit is in a state. A global unit has no current state; a unit with
// RunOnce can have finished between two polls.
func reached(u schema.Unit, state string) bool {
	if global(u) {
		return u.DesiredState == state
	}
	return u.CurrentState == state || state == schema.Launched && u.Finished != ""
}

func (w *waiter) announce(ctx context.Context, u schema.Unit) {
	text := ""
	if u.Finished != "" {
		w.say("Unit %s finished: %s", u.Name, u.Finished)
		return
	}
	if u.MachineID != "" {
		w.loadMachines(ctx)
		text = " on " + place(w.machine(u.MachineID), false)
	}
	w.say("Unit %s %s%s", u.Name, u.CurrentState, text)
}

// each removes the units for which done returns true from those that are left.
func (w *waiter) each(done func(name string) (bool, error)) error {
	var left []string
	for i, name := range w.left {
		ok, err := done(name)
		if err != nil {
			w.left = append(left, w.left[i:]...)
			return err
		}
		if !ok {
			left = append(left, name)
		}
	}
	w.left = left
	return nil
}

// persists returns an error if a unit has had the same problem for long enough.
func (w *waiter) persists(name, text string) error {
	old, ok := w.stuck[name]
	if !ok || old.text != text {
		w.stuck[name] = problem{text, time.Now()}
		return nil
	}
	if time.Since(old.since) < patience {
		return nil
	}
	return fmt.Errorf("unit %s %s", name, text)
}

// refused is persists for a unit that a machine has and that systemd refuses.
func (w *waiter) refused(name, machine, problem string) error {
	return w.persists(name, fmt.Sprintf("does not run on %s: %s", place(w.machine(machine), false), problem))
}

// tell prints what a unit, or all of them, wait for, if that has changed.
func (w *waiter) tell(name, text string) {
	if time.Since(w.began) < patience || w.told[name] == text {
		return
	}
	w.told[name] = text
	if name != "" {
		text = name + ": " + text
	}
	w.warn("Waiting for %s", text)
}

// explain prints why the first units are not in the state yet.
func (w *waiter) explain(ctx context.Context) {
	if time.Since(w.began) < patience {
		return
	}
	for _, name := range w.left[:min(len(w.left), few)] {
		if _, stuck := w.stuck[name]; stuck {
			continue // its problem is about to be an error
		}
		if why, err := w.client.Why(ctx, name); err == nil {
			w.tell(name, why.Summary)
		}
	}
	if more := len(w.left) - few; more > 0 {
		w.tell("", fmt.Sprintf("%d more units", more))
	}
}

// fetch returns units by name.
func (a *app) fetch(ctx context.Context, names []string) (map[string]schema.Unit, error) {
	return byName(ctx, names, func(u schema.Unit) string { return u.Name }, a.client.Units,
		func(ctx context.Context, name string) ([]schema.Unit, error) {
			u, err := a.client.Unit(ctx, name)
			if errors.Is(err, schema.ErrNotFound) {
				return nil, nil
			}
			return []schema.Unit{u}, err
		})
}

// byName returns what the cluster has under some names. It asks for each of a few names, and
// otherwise for everything.
func byName[T any](ctx context.Context, names []string, nameOf func(T) string,
	everything func(context.Context) ([]T, error), ask func(context.Context, string) ([]T, error)) (map[string]T, error) {
	found := map[string]T{}
	if len(names) > few {
		all, err := everything(ctx)
		for _, item := range all {
			found[nameOf(item)] = item
		}
		return found, err
	}
	for _, name := range names {
		items, err := ask(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(items) > 0 {
			found[name] = items[0]
		}
	}
	return found, nil
}
