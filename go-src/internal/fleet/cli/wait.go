package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
	"coreos/internal/host/pause"
)

// How units are waited for. The API cannot tell of changes, so it is asked again and again.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
	// attempt is what --block-attempts counts, as upstream does.
	attempt = 2 * time.Second
	// few units are asked for one by one.
	few = 8
)

// patience is how long it takes until the operator is told why nothing happens, and how
// long a unit has to be missing, failed or dead before that is believed. It is shorter in
// tests.
var patience = 3 * time.Second

// blocking are the flags of commands that wait.
type blocking struct {
	attempts int
	noBlock  bool
}

func (b *blocking) addFlags(command *cobra.Command, noBlock bool) {
	f := command.Flags()
	f.IntVar(&b.attempts, "block-attempts", 0, "give up after `N` attempts of 2 seconds; 0: never")
	if noBlock {
		f.BoolVar(&b.noBlock, "no-block", false, "do not wait; global units are never waited for")
	}
}

// errLate ends the waiting after the last attempt.
var errLate = errors.New("timed out")

// poll calls check until it returns true, more and more rarely.
func poll(ctx context.Context, attempts int, check func(context.Context) (done bool, err error)) error {
	if attempts > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(attempts)*attempt, errLate)
		defer cancel()
	}
	for again := firstPause; ; again = min(again*2, maxPause) {
		done, err := check(ctx)
		if ctx.Err() != nil && !done {
			return context.Cause(ctx)
		}
		if done || err != nil {
			return err
		}
		if !pause.For(ctx, again) {
			return context.Cause(ctx)
		}
	}
}

// waiter waits for units and tells the operator what for.
type waiter struct {
	*app
	left  []string
	began time.Time
	// stuck are units that have a problem that may be the end of the story.
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

// wait waits until all units are in a state and says so of each.
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
				return false, w.lasts(name, "is not in the cluster any more")
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

// reached reports whether a unit is in a state. Global ones have none of their own, and
// one that runs once can have finished before anybody looked.
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

// each removes the units of which done returns true from those that are left.
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

// lasts is an error if a unit has had a problem for long enough.
func (w *waiter) lasts(name, text string) error {
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

// tell tells the operator what is waited for, of a unit or of all, when it is news.
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

// explain says why units are not where they should be, of a few.
func (w *waiter) explain(ctx context.Context) {
	if time.Since(w.began) < patience {
		return
	}
	for _, name := range w.left[:min(len(w.left), few)] {
		if why, err := w.client.Why(ctx, name); err == nil {
			w.tell(name, why.Summary)
		}
	}
	if more := len(w.left) - few; more > 0 {
		w.tell("", fmt.Sprintf("%d more units", more))
	}
}

// fetch asks for units by their names.
func (a *app) fetch(ctx context.Context, names []string) (map[string]schema.Unit, error) {
	found := map[string]schema.Unit{}
	if len(names) > few {
		all, err := a.client.Units(ctx)
		for _, u := range all {
			found[u.Name] = u
		}
		return found, err
	}
	for _, name := range names {
		u, err := a.client.Unit(ctx, name)
		if err != nil && !errors.Is(err, schema.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			found[name] = u
		}
	}
	return found, nil
}
