package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/fleet/schema"
)

// types has the suffixes of the units that fleet runs.
var types = []string{".service", ".socket", ".timer", ".path", ".device", ".mount", ".automount"}

// withType adds .service to a name without a type.
func withType(arg string) string {
	if slices.ContainsFunc(types, func(kind string) bool { return strings.HasSuffix(arg, kind) }) {
		return arg
	}
	return arg + ".service"
}

// unitName returns the name of the unit in a file.
func unitName(arg string) string { return withType(path.Base(arg)) }

// oneUnit returns the unit that the one argument names.
func (a *app) oneUnit(ctx context.Context, args []string) (schema.Unit, error) {
	if len(args) != 1 {
		return schema.Unit{}, fmt.Errorf("one unit file must be provided, not %d", len(args))
	}
	return a.unit(ctx, unitName(args[0]))
}

func (a *app) unit(ctx context.Context, name string) (schema.Unit, error) {
	u, err := a.client.Unit(ctx, name)
	if errors.Is(err, schema.ErrNotFound) {
		return u, fmt.Errorf("unit %s %w", name, schema.ErrNotFound)
	}
	if err != nil {
		return u, fmt.Errorf("error retrieving unit %s: %w", name, err)
	}
	return u, nil
}

// findUnits returns the units of the cluster that match the arguments, which can be patterns.
func (a *app) findUnits(ctx context.Context, args []string) ([]schema.Unit, error) {
	all, err := a.client.Units(ctx)
	if err != nil {
		return nil, err
	}
	var found []schema.Unit
	seen := map[string]bool{}
	for _, arg := range args {
		pattern := strings.ReplaceAll(unitName(arg), `\`, `\\`) // names contain it, as in \x2d
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, exit.Usagef("%q: %w", arg, err)
		}
		matched := false
		for _, u := range all {
			if ok, _ := path.Match(pattern, u.Name); !ok {
				continue
			}
			if matched = true; !seen[u.Name] {
				seen[u.Name] = true
				found = append(found, u)
			}
		}
		if !matched && len(args) > 1 {
			a.warn("Unit %s not found", unitName(arg))
		}
	}
	if len(found) == 0 {
		a.warn("Units not found in registry")
	}
	return found, nil
}

// completeUnits completes names of units in a shell.
func (a *app) completeUnits(command *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
	if a.prepare(command) != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(command.Context(), 2*time.Second)
	defer cancel()
	if a.connect(ctx) != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	units, err := a.client.Units(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var found []string
	for _, u := range units {
		if strings.HasPrefix(u.Name, begin) {
			found = append(found, u.Name)
		}
	}
	return found, cobra.ShellCompDirectiveDefault // the shell adds files
}
