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
	"coreos/internal/host/room"
	"coreos/internal/host/storage"
)

// ErrUnhealthy says that a health check failed. Its details have been printed.
var ErrUnhealthy = errors.New("this machine is not healthy")

// Checks runs the health checks, each for at most limit, and returns the results of those
// that failed.
func (m *Machine) Checks(ctx context.Context, limit time.Duration) ([]health.Result, error) {
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
	failed := health.Failed(health.Run(ctx, paths, limit, "COREOS_SLOT_TRIAL="+trial))
	return failed, ctx.Err()
}

// Report prints the checks that failed to w.
func Report(failed []health.Result, w io.Writer) {
	for _, r := range failed {
		fmt.Fprintf(w, "health check %s failed: %v\n%s\n", r.Name, r.Err, r.Output)
	}
}

// Mark runs the health checks, each for at most limit, and marks the running slot good if no
// check fails. If a restart would help, it restarts the machine. A slow machine is not an
// unhealthy one: as long as the checks did not end in their time, or the slot is on trial and
// there is no other one to go to, they are run again, until patience has passed. Mark prints
// to out what it does, and to problems which checks failed. It returns ErrUnhealthy if the
// machine is unhealthy and stays up.
func (m *Machine) Mark(ctx context.Context, limit, patience time.Duration, out, problems io.Writer) error {
	return m.judge(out, problems, func(ctx context.Context) ([]health.Result, error) {
		return m.Checks(ctx, limit)
	}).mark(ctx, time.Now().Add(patience))
}

// Deadline restarts the machine if its slot is on trial and has not been proven healthy
// yet.
func (m *Machine) Deadline(w io.Writer) error {
	states, err := m.States()
	if err != nil || states.Decide(m.Running, states.Slots[m.Running].OK) != slot.Retry {
		return err
	}
	fmt.Fprintf(w, "slot %s did not become healthy in time\n", m.Running)
	j := m.judge(w, w, nil)
	action, failed, err := j.excuse(slot.Retry, []health.Result{{Name: "deadline"}})
	if err != nil {
		return err
	}
	return j.unhealthy(action, states, failed)
}

func (m *Machine) judge(out, problems io.Writer, checks func(context.Context) ([]health.Result, error)) *judge {
	return &judge{running: m.Running, change: m.Change, checks: checks, restart: restart, full: full, pause: firstPause, out: out, problems: problems}
}

// leastRoom is the room on ROOT in bytes without which programs of a healthy slot fail.
const leastRoom = 16 << 20

// full returns an error if the machine has no room for its data, or cannot save it.
func full() error {
	errs := []error{room.NeedForAll("/", leastRoom), room.NeedForAll("/var", leastRoom)}
	problems, err := storage.Check(storage.System...)
	if err != nil {
		return errors.Join(errs...) // whether it is read-only is not known
	}
	for _, p := range problems {
		if p.Kind == storage.ReadOnly {
			errs = append(errs, errors.New(p.String()))
		}
	}
	return errors.Join(errs...)
}

// restart starts an orderly restart by systemd, and does not wait for it.
func restart() error {
	if out, err := exec.Command("systemctl", "--no-block", "reboot").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl reboot: %w: %s", err, out)
	}
	return nil
}
