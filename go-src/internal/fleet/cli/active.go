package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coreos/internal/fleet/schema"
)

// waitActive waits until systemd reports all units as active. A unit that fails or ends before that
// is an error.
func (a *app) waitActive(ctx context.Context, started []schema.Unit, attempts int) error {
	byName := map[string]schema.Unit{}
	for _, u := range started {
		byName[u.Name] = u
	}
	if len(started) > 0 {
		a.loadMachines(ctx)
	}
	w := a.waiter(unitNames(started))
	err := poll(ctx, attempts, func(ctx context.Context) (bool, error) {
		states, err := a.fetchStates(ctx, w.left)
		if err != nil {
			w.tell("", err.Error())
			return false, nil
		}
		err = w.each(func(name string) (bool, error) {
			state, ok := states[name]
			if !ok {
				delete(w.stuck, name)
				w.tell(name, "no machine reports a state of it")
				return w.finished(ctx, byName[name]), nil
			}
			return w.active(byName[name], state)
		})
		return len(w.left) == 0, err
	})
	if errors.Is(err, errLate) {
		return fmt.Errorf("timed out waiting for %s to report active state", units(w.left))
	}
	return err
}

func unitNames(units []schema.Unit) []string {
	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.Name
	}
	return names
}

// active judges the state of a unit that was started. systemd may restart a failed unit, and an
// inactive unit may not have been started yet, so both count as errors only after a while.
func (w *waiter) active(u schema.Unit, s schema.UnitState) (done bool, err error) {
	machine := place(w.machine(s.MachineID), false)
	where := fmt.Sprintf("on %s: %s (%s)", machine, s.SystemdActiveState, s.SystemdSubState)
	switch {
	case s.Problem != "":
		return false, w.refused(u.Name, s.MachineID, s.Problem)
	case s.SystemdLoadState != "loaded":
		return false, w.persists(u.Name, fmt.Sprintf("could not be loaded by systemd on %s: %s", machine, s.SystemdLoadState))
	case s.SystemdActiveState == "active":
		return true, nil
	case s.SystemdActiveState == "failed":
		return false, w.persists(u.Name, "failed "+where)
	case s.SystemdActiveState == "inactive":
		err = w.persists(u.Name, "does not run "+where)
		if err != nil && ends(u) {
			return true, nil
		}
		return false, err
	}
	delete(w.stuck, u.Name)
	w.tell(u.Name, where)
	return false, nil
}

// finished reports whether a unit with RunOnce, which has no state any more, has finished.
func (w *waiter) finished(ctx context.Context, u schema.Unit) bool {
	if !ends(u) {
		return false
	}
	is, err := w.client.Unit(ctx, u.Name)
	return err == nil && is.Finished != ""
}

// ends reports whether a unit may end: it has Type=oneshot or RunOnce=.
func ends(u schema.Unit) bool {
	return requirements(u).RunOnce || slices.Contains(u.Options, schema.UnitOption{Section: "Service", Name: "Type", Value: "oneshot"})
}

// fetchStates returns the states of units by name.
func (a *app) fetchStates(ctx context.Context, names []string) (map[string]schema.UnitState, error) {
	return byName(ctx, names, func(s schema.UnitState) string { return s.Name }, a.client.States, a.client.StatesOf)
}
