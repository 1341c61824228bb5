package booted

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/health"
	"coreos/internal/boot/slot"
)

// The pauses between two runs of the checks double from the first to the last.
const (
	firstPause = 5 * time.Second
	lastPause  = time.Minute
)

// judge decides by the health checks what becomes of the running slot.
type judge struct {
	running       slot.Name
	checks        func(context.Context) ([]health.Result, error) // those that failed
	change        func(func(slot.Store) error) error
	restart       func() error
	full          func() error // why the machine cannot save its data, nil if it can
	excused       bool         // the slot has its try back
	pause         time.Duration
	out, problems io.Writer
}

// mark runs the checks until they decide, or until the deadline.
func (j *judge) mark(ctx context.Context, deadline time.Time) error {
	for pause := j.pause; ; pause = min(2*pause, lastPause) {
		failed, err := j.checks(ctx)
		if err != nil {
			return err
		}
		action, states, err := j.decide(len(failed) == 0)
		if err != nil {
			return err
		}
		if action == slot.Proven {
			fmt.Fprintf(j.out, "slot %s is good\n", j.running)
			return j.change(func(s slot.Store) error { return slot.MarkGood(s, j.running) })
		}
		if action, failed, err = j.excuse(action, failed); err != nil {
			return err
		}
		Report(failed, j.problems)
		if !again(action, states.Slots[j.running].OK, failed) || time.Now().Add(pause).After(deadline) {
			return j.unhealthy(action, states, failed)
		}
		// Whoever looks in between sees why the slot is not proven.
		if err := j.note(failed); err != nil {
			return err
		}
		fmt.Fprintf(j.out, "the health checks run again in %s\n", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// excuse adds to the checks that failed that the machine has no room for its data, or cannot save it,
// if that is so. It is no fault of the slot then, and the other one has the same disk: the slot gets
// the try of this boot back, and a restart would not help.
func (j *judge) excuse(action slot.Action, failed []health.Result) (slot.Action, []health.Result, error) {
	full := j.full()
	if full == nil {
		return action, failed, nil
	}
	if action == slot.Retry {
		action = slot.Stay
	}
	name := "disk-read-only"
	if errors.Is(full, unix.ENOSPC) {
		name = "disk-full"
	}
	failed = append([]health.Result{{Name: name, Err: full}}, failed...)
	if j.excused {
		return action, failed, nil
	}
	j.excused = true
	return action, failed, j.change(func(s slot.Store) error { return slot.GiveBack(s, j.running) })
}

// again reports whether to run the checks again: if all that failed did so by their time limit, or
// if the slot is on trial and a restart would not lead to a proven one.
func again(action slot.Action, proven bool, failed []health.Result) bool {
	undecided := !slices.ContainsFunc(failed, func(r health.Result) bool { return !r.Undecided() })
	return undecided || action == slot.Stay && !proven
}

func (j *judge) decide(healthy bool) (action slot.Action, states slot.States, err error) {
	err = j.change(func(s slot.Store) error {
		states, err = slot.Load(s)
		return err
	})
	return states.Decide(j.running, healthy), states, err
}

// unhealthy records the checks that failed, and restarts the machine if that helps, as action
// says.
func (j *judge) unhealthy(action slot.Action, states slot.States, failed []health.Result) error {
	if action == slot.Retry {
		fmt.Fprintf(j.out, "slot %s is on trial and unhealthy: restarting, %d tries left\n", j.running, states.Slots[j.running].Tries)
		return errors.Join(j.note(failed), j.restart())
	}
	fmt.Fprintf(j.out, "slot %s is unhealthy; it stays up, since a restart would not help\n", j.running)
	return errors.Join(j.note(failed), ErrUnhealthy)
}

func (j *judge) note(failed []health.Result) error {
	var names []string
	for _, r := range failed {
		names = append(names, r.Name)
	}
	return j.change(func(s slot.Store) error { return slot.Note(s, j.running, slot.Reason(names)) })
}
