package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"coreos/internal/provision/cloudconfig"
)

// Units is systemd.
type Units interface {
	Reload(ctx context.Context) error
	// Enable enables a unit and tells whether that changed anything.
	Enable(ctx context.Context, name string, runtime bool) (changed bool, err error)
	// Do carries out a verb of systemctl ("start", "try-restart", …) and waits for it.
	Do(ctx context.Context, verb, name string) error
	// RunScript starts a unit that runs a program.
	RunScript(ctx context.Context, name, path string) error
}

// networkd's files lie elsewhere, and are not units.
func isNetwork(name string) bool {
	return slices.Contains([]string{".network", ".netdev", ".link"}, path.Ext(name))
}

// unitDir is where the files of a unit lie.
func unitDir(u cloudconfig.Unit) string {
	dir := "/etc/systemd"
	if u.Runtime {
		dir = "/run/systemd"
	}
	if isNetwork(u.Name) {
		return dir + "/network"
	}
	return dir + "/system"
}

// units brings all files of the units in order before systemd reads them, once, and then
// carries out the commands in the order of the config.
func (a *Applier) units(ctx context.Context, units []cloudconfig.Unit) error {
	before := len(a.changes)
	failed := a.sweepNetwork(units)
	network := len(a.changes) > before
	for _, u := range units {
		already := len(a.changes)
		failed = errors.Join(failed, a.placeUnit(u))
		network = network || isNetwork(u.Name) && len(a.changes) > already
	}
	if len(a.changes) > before {
		failed = errors.Join(failed, a.Units.Reload(ctx))
	}
	for _, u := range units {
		if u.Enable && !u.Mask && !isNetwork(u.Name) {
			changed, err := a.Units.Enable(ctx, u.Name, u.Runtime)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("enable %s: %w", u.Name, err))
			} else if changed {
				a.changed("enabled %s", u.Name)
			}
		}
	}
	if network {
		failed = errors.Join(failed, a.do(ctx, "restart", "systemd-networkd.service"))
	}
	for _, u := range units {
		if u.Command != "" && !isNetwork(u.Name) {
			failed = errors.Join(failed, a.do(ctx, u.Command, u.Name))
		}
	}
	return failed
}

func (a *Applier) do(ctx context.Context, verb, name string) error {
	if err := a.Units.Do(ctx, verb, name); err != nil {
		return fmt.Errorf("%s %s: %w; see: systemctl status %s", verb, name, err, name)
	}
	return nil
}

// placeUnit writes the files of a unit, and masks it or not.
func (a *Applier) placeUnit(u cloudconfig.Unit) error {
	dir := unitDir(u)
	at := path.Join(dir, u.Name)
	var failed error
	switch {
	case u.Mask:
		failed = a.note(at + " is masked")(a.Root.link("/dev/null", at))
	case u.Content != "":
		failed = a.write(file{path: at, data: []byte(u.Content), mode: 0o644})
	default:
		failed = a.note(at + " is no longer masked")(a.Root.unlink("/dev/null", at))
	}
	for _, in := range u.DropIns {
		failed = errors.Join(failed, a.write(file{path: path.Join(at+".d", in.Name), data: []byte(in.Content), mode: 0o644}))
	}
	return failed
}

// environment returns the drop-in that gives a daemon its settings.
func environment(unit string, settings cloudconfig.Settings) []cloudconfig.Unit {
	if len(settings) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString("[Service]\n")
	for _, s := range settings {
		fmt.Fprintf(&text, "Environment=%s\n", quote(s.Name+"="+s.Value))
	}
	return []cloudconfig.Unit{{Name: unit, Runtime: true, DropIns: []cloudconfig.DropIn{{Name: "20-cloudinit.conf", Content: text.String()}}}}
}

// quote writes a word as systemd.syntax(7) has it.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\t", `\t`).Replace(s) + `"`
}
