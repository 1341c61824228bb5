package booted

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"coreos/internal/boot/health"
	"coreos/internal/boot/slot"
)

// ErrUnhealthy says that a health check failed. Its details have been printed.
var ErrUnhealthy = errors.New("this machine is not healthy")

// Check runs the health checks, each for at most limit, and prints the failures to w. It
// returns the names of the checks that failed.
func (m *Machine) Check(ctx context.Context, limit time.Duration, w io.Writer) ([]string, error) {
	states, err := m.States()
	if err != nil {
		return nil, err
	}
	trial := "1"
	if states.Slots[m.Running].OK {
		trial = "0"
	}
	paths, err := health.Checks(health.Dirs)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range health.Failed(health.Run(ctx, paths, limit, "COREOS_SLOT_TRIAL="+trial)) {
		fmt.Fprintf(w, "health check %s failed: %v\n%s\n", r.Name, r.Err, r.Output)
		names = append(names, r.Name)
	}
	return names, ctx.Err()
}

// ApplyHealth marks the running slot good if no check failed. Otherwise it records the failed
// checks, and restarts the machine if the slot is on trial and the other slot is proven. It
// prints to w what it does. It returns ErrUnhealthy if the machine is unhealthy and stays
// up.
func (m *Machine) ApplyHealth(failed []string, w io.Writer) error {
	states, err := m.States()
	if err != nil {
		return err
	}
	switch states.Decide(m.Running, len(failed) == 0) {
	case slot.Proven:
		fmt.Fprintf(w, "slot %s is good\n", m.Running)
		return m.Change(func(s slot.Store) error { return slot.MarkGood(s, m.Running) })
	case slot.Retry:
		fmt.Fprintf(w, "slot %s is on trial and unhealthy: restarting, %d tries left\n", m.Running, states.Slots[m.Running].Tries)
		return errors.Join(m.note(failed), restart())
	default:
		fmt.Fprintf(w, "slot %s is unhealthy; it stays up, since a restart would not help\n", m.Running)
		return errors.Join(m.note(failed), ErrUnhealthy)
	}
}

// Deadline restarts the machine if its slot is on trial and has not been proven healthy
// yet.
func (m *Machine) Deadline(w io.Writer) error {
	states, err := m.States()
	if err != nil || states.Decide(m.Running, states.Slots[m.Running].OK) != slot.Retry {
		return err
	}
	fmt.Fprintf(w, "slot %s did not become healthy in time\n", m.Running)
	return m.ApplyHealth([]string{"deadline"}, w)
}

func (m *Machine) note(failed []string) error {
	return m.Change(func(s slot.Store) error { return slot.Note(s, m.Running, slot.Reason(failed)) })
}

// restart starts an orderly restart by systemd, and does not wait for it.
func restart() error {
	if out, err := exec.Command("systemctl", "--no-block", "reboot").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl reboot: %w: %s", err, out)
	}
	return nil
}
