package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// roll replaces the file of units, one unit after the other.
type roll struct {
	*app
	// steady is how long a unit has to be active. limit bounds the time until it has been.
	steady, limit time.Duration
	// check is a shell command that fails if a unit does not work; "" for none.
	check string
}

func (a *app) rollCommand() *cobra.Command {
	r := roll{app: a}
	command := &cobra.Command{
		Use:   "roll FILE",
		Short: "Replace the file of units, one unit after the other, while they stay healthy",
		Long: "Replaces the file of all instances of a template, or of one unit, with FILE. Each unit is restarted\n" +
			"on its machine and has to be active for --steady before the next one follows. If it is not within\n" +
			"--limit, roll restores the old file of this unit and stops.\n\n" +
			"    fleetctl roll --check='curl -fsS http://$MACHINE_IP/health' web@.service",
		ValidArgsFunction: a.completeUnits,
		Args:              cobra.ExactArgs(1),
		RunE:              a.on(func(ctx context.Context, args []string) error { return r.run(ctx, withType(args[0])) }),
	}
	f := command.Flags()
	f.DurationVar(&r.steady, "steady", 5*time.Second, "`TIME` for which a unit has to be active")
	f.DurationVar(&r.limit, "limit", 2*time.Minute, "`TIME` within which it has to be so, and --check has to succeed")
	f.StringVar(&r.check, "check", "", "shell `COMMAND` that has to succeed for each unit; the variables UNIT, MACHINE_ID and MACHINE_IP are set")
	return command
}

func (r *roll) run(ctx context.Context, path string) error {
	file, err := readFile(path)
	if err != nil {
		return err
	}
	units, err := r.rolled(ctx, unitName(path))
	if err != nil {
		return err
	}
	for i, u := range units {
		if err := r.one(ctx, u, file); err != nil {
			return fmt.Errorf("%w; of %d units %d have the new file", err, len(units), i)
		}
	}
	return nil
}

// rolled returns the units that have the file. The template itself is the last one: instances that
// are made meanwhile get the file that is known to work.
func (r *roll) rolled(ctx context.Context, name string) ([]schema.Unit, error) {
	all, err := r.client.Units(ctx)
	if err != nil {
		return nil, err
	}
	var units, template []schema.Unit
	for _, u := range all {
		n, err := unitfile.ParseName(u.Name)
		switch {
		case u.Name == name:
			template = append(template, u)
		case err == nil && n.Template == name:
			units = append(units, u)
		}
	}
	units = append(units, template...)
	if len(units) == 0 {
		return nil, fmt.Errorf("the cluster has no unit of %s: submit or start it", name)
	}
	return units, nil
}

// one replaces the file of a unit. If the unit is not healthy then, one restores the old file.
func (r *roll) one(ctx context.Context, u schema.Unit, file *unitfile.File) error {
	if unitfile.Of(u).Hash() == file.Hash() {
		r.say("Unit %s has the file already", u.Name)
		return nil
	}
	next := schema.Unit{Name: u.Name, DesiredState: u.DesiredState}
	next.Options = file.SchemaOptions()
	if err := r.client.Set(ctx, next); err != nil {
		return fmt.Errorf("%s: %w", u.Name, err)
	}
	if u.DesiredState != schema.Launched {
		r.say("Unit %s has the new file, and is %s", u.Name, u.DesiredState)
		return nil
	}
	err := r.healthy(ctx, next, r.check)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s has the new file, and is not known to be healthy: %w", u.Name, err)
	}
	r.warn("Unit %s gets its old file back: %v", u.Name, err)
	old := schema.Unit{Name: u.Name, Options: u.Options, DesiredState: u.DesiredState}
	if err := r.client.Set(ctx, old); err != nil {
		return fmt.Errorf("%s could not get its old file back: %w", u.Name, err)
	}
	if again := r.healthy(ctx, old, ""); again != nil {
		return fmt.Errorf("%s was not healthy with the new file (%w), nor is it with the old one: %w", u.Name, err, again)
	}
	return fmt.Errorf("%s was not healthy with the new file: %w", u.Name, err)
}

// healthy waits until a unit has been active for long enough and the check succeeds.
func (r *roll) healthy(ctx context.Context, u schema.Unit, check string) error {
	ctx, stop := context.WithTimeoutCause(ctx, r.limit, errLate)
	defer stop()
	var since time.Time
	last, checked := errors.New("no machine reports a state of it"), false
	err := poll(ctx, 0, func(ctx context.Context) (bool, error) {
		state, err := r.state(ctx, u)
		if err != nil {
			last, since = err, time.Time{}
			return false, nil
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < r.steady && !ends(u) {
			last = errors.New("it has not been active for long enough")
			return false, nil
		}
		m := r.machine(state.MachineID)
		if err := r.passes(ctx, check, u.Name, m); err != nil {
			if ctx.Err() == nil || !checked { // the limit may end the last check
				last, checked = err, true
			}
			return false, nil
		}
		r.say("Unit %s is healthy on %s with %s", u.Name, place(m, false), unitfile.Of(u).Hash().Short())
		return true, nil
	})
	if errors.Is(err, errLate) {
		return fmt.Errorf("not within %s: %w", r.limit, last)
	}
	return err
}

// state returns the state of a unit that is active with its file, or has ended and may end. For a
// global unit this must hold on all machines, and the state is that of one of them.
func (r *roll) state(ctx context.Context, u schema.Unit) (schema.UnitState, error) {
	r.loadMachines(ctx)
	states, err := r.client.StatesOf(ctx, u.Name)
	if err != nil {
		return schema.UnitState{}, err
	}
	if len(states) == 0 {
		return schema.UnitState{}, errors.New("no machine reports a state of it")
	}
	for _, s := range states {
		at := place(r.machine(s.MachineID), false)
		ended := ends(u) && s.SystemdActiveState == "inactive"
		switch {
		case s.Hash != unitfile.Of(u).Hash().String():
			return s, fmt.Errorf("on %s it still has the other file", at)
		case s.SystemdActiveState != "active" && !ended:
			return s, fmt.Errorf("on %s it is %s (%s)", at, s.SystemdActiveState, s.SystemdSubState)
		}
	}
	return states[0], nil
}

// passes runs the check of the operator.
func (r *roll) passes(ctx context.Context, check, name string, m schema.Machine) error {
	if check == "" {
		return nil
	}
	command := exec.CommandContext(ctx, "sh", "-c", check)
	command.Env = append(os.Environ(), "UNIT="+name, "MACHINE_ID="+m.ID, "MACHINE_IP="+m.PrimaryIP)
	output, err := command.CombinedOutput()
	if err != nil {
		output = bytes.TrimSpace(output)
		return fmt.Errorf("the check failed: %w: %s", err, strings.ToValidUTF8(string(output[max(0, len(output)-200):]), "?"))
	}
	return nil
}
