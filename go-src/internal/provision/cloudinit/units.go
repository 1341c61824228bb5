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

// Units controls the units of systemd.
type Units interface {
	Reload(ctx context.Context) error
	// Enable enables a unit, and reports whether that changed anything.
	Enable(ctx context.Context, name string, runtime bool) (changed bool, err error)
	// Do runs a command of systemctl ("start", "try-restart", …) and waits for its end.
	Do(ctx context.Context, verb, name string) error
	// RunScript starts a unit that runs a program.
	RunScript(ctx context.Context, name, path string) error
}

// isNetwork reports whether a name is that of a file of systemd-networkd, which is not a
// unit and is in another directory.
func isNetwork(name string) bool {
	return slices.Contains([]string{".network", ".netdev", ".link"}, path.Ext(name))
}

// unitDir returns the directory of the files of a unit.
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

// units writes the files of all units, reloads systemd once, and then runs the commands in
// the order of the config.
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

// placeUnit writes the files of a unit, and masks or unmasks it.
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

// environment returns a drop-in with the settings of a daemon.
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

// quote quotes a word by the rules of systemd.syntax(7).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\t", `\t`).Replace(s) + `"`
}
