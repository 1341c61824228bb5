package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
	"coreos/internal/host/bounded"
)

func (a *app) submitCommand() *cobra.Command {
	var s submission
	command := &cobra.Command{
		Use:   "submit UNIT...",
		Short: "Submit units to the cluster, without starting them",
		Long: "Submits the files of units. A unit that the cluster has stays as it is, unless --replace is given.\n" +
			"If there is no file web@1.service, its file is that of the template web@.service, in the cluster or\n" +
			"in the local directory.",
		ValidArgsFunction: a.completeUnits,
		RunE: a.onUnits(func(ctx context.Context, args []string) error {
			return a.submit(ctx, args, s)
		}),
	}
	s.addFlags(command, schema.Inactive)
	return command
}

// submission says how units are submitted.
type submission struct {
	replace, sign bool
	// replaceable has the desired states in which a unit can be replaced.
	replaceable []string
	attempts    int
}

// addFlags adds the flags of a command that leaves units in a state.
func (s *submission) addFlags(command *cobra.Command, state string) {
	states := []string{schema.Inactive, schema.Loaded, schema.Launched}
	s.replaceable = states[:slices.Index(states, state)+1]
	f := command.Flags()
	f.BoolVar(&s.replace, "replace", false, "replace units that the cluster has by the local files")
	f.BoolVar(&s.sign, "sign", false, "cannot be used: units are not signed")
	_ = f.MarkHidden("sign")
}

// submit submits the units that the cluster does not have, and waits until it has them.
func (a *app) submit(ctx context.Context, args []string, s submission) error {
	if s.sign {
		return exit.Usage(errors.New("--sign cannot be used: units are not signed"))
	}
	var created []string
	for _, arg := range args {
		arg = withType(arg)
		file, err := a.needed(ctx, arg, s)
		if err != nil {
			return fmt.Errorf("error creating units: %w", err)
		}
		if file == nil {
			continue
		}
		u := schema.Unit{Name: unitName(arg)}
		u.Options = file.SchemaOptions()
		if err := a.client.Set(ctx, u); err != nil {
			return fmt.Errorf("error creating units: failed creating unit %s: %w", u.Name, err)
		}
		created = append(created, u.Name)
	}
	return a.wait(ctx, created, schema.Inactive, s.attempts)
}

// needed returns the file with which a unit has to be created or replaced; nil if there is nothing
// to do.
func (a *app) needed(ctx context.Context, arg string, s submission) (*unitfile.File, error) {
	old, err := a.unit(ctx, unitName(arg))
	if errors.Is(err, schema.ErrNotFound) {
		return a.source(ctx, arg, false)
	}
	if err != nil {
		return nil, err
	}
	if !s.replace {
		a.warnOfOther(arg, old)
		return nil, nil
	}
	file, err := a.source(ctx, arg, true)
	if err != nil {
		return nil, err
	}
	if file.Hash() == unitfile.Of(old).Hash() {
		a.say("Found same Unit(%s) in Registry, nothing to do", old.Name)
		return nil, nil
	}
	if !slices.Contains(s.replaceable, old.DesiredState) {
		a.warn("Warning: can not replace Unit(%s) in state '%s', use the appropriate command", old.Name, old.DesiredState)
		return nil, nil
	}
	return file, nil
}

// source finds the file of a unit: its own, or that of its template in the cluster or in the local
// directory. With replace the local template comes first.
func (a *app) source(ctx context.Context, arg string, replace bool) (*unitfile.File, error) {
	file, err := readFile(arg)
	if !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	name, err := unitfile.ParseName(unitName(arg))
	if err != nil {
		return nil, err
	}
	if name.Instance == "" {
		return nil, fmt.Errorf("unable to find Unit(%s) in Registry or on filesystem", name.Full)
	}
	path := filepath.Join(filepath.Dir(arg), name.Template)
	local, localErr := readFile(path)
	if replace && localErr == nil {
		return local, nil
	}
	template, err := a.unit(ctx, name.Template)
	switch {
	case err == nil:
		a.warnOfOther(arg, template)
		return unitfile.Of(template), nil
	case !errors.Is(err, schema.ErrNotFound):
		return nil, err
	case errors.Is(localErr, os.ErrNotExist):
		return nil, fmt.Errorf("unable to find template Unit(%s) in Registry or on filesystem", name.Template)
	}
	return local, localErr
}

// warnOfOther warns if the unit of the cluster differs from the local file.
func (a *app) warnOfOther(arg string, u schema.Unit) {
	file, err := readFile(arg)
	if errors.Is(err, os.ErrNotExist) {
		name, err := unitfile.ParseName(unitName(arg))
		if err != nil || name.Instance == "" {
			return
		}
		arg = filepath.Join(filepath.Dir(arg), name.Template)
		if file, err = readFile(arg); err != nil {
			return
		}
	} else if err != nil {
		a.warn("WARNING: %v", err)
		return
	}
	if file.Hash() != unitfile.Of(u).Hash() {
		a.warn("WARNING: Unit %s in registry differs from local unit file %s. Add --replace to override.", u.Name, arg)
	}
}

// maxFile bounds a local file with its comments, in bytes.
const maxFile = 1 << 20

func readFile(path string) (*unitfile.File, error) {
	text, err := bounded.ReadFile(path, maxFile)
	if err != nil {
		return nil, err
	}
	parsed, err := unitfile.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, nil
}
