// Package cloudinit brings a machine into the state that a cloud-config describes.
// Applied again, it changes nothing; where one thing fails, the others are done.
package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/datasource"
	"coreos/internal/provision/netconf"
)

// coreUser is who has the keys that belong to nobody in particular.
const coreUser = "core"

// Applier applies configs.
type Applier struct {
	Root     tree
	Units    Units
	Accounts Accounts
	// Fetch returns what is at a URL, bounded in time and size.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// SetHostname tells the kernel.
	SetHostname func(string) error
	// LockFile lets one config be applied at a time, unless it is empty.
	LockFile string
	// KeyName is the file that keys are written to, below .ssh/authorized_keys.d.
	KeyName string
	// Network is the network from the platform's metadata. Files of an earlier one that
	// are not in it are removed, unless it is nil.
	Network []netconf.File

	changes []string
}

// lockFile keeps units that run at the same time, for several sources, apart.
const lockFile = "/run/coreos/cloudinit.lock"

// lock waits until no other config is applied.
func (a *Applier) lock() (unlock func(), err error) {
	if a.LockFile == "" {
		return func() {}, nil
	}
	file, err := os.OpenFile(a.LockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", a.LockFile, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// Apply does what a config says. It returns what has changed, and every error.
func (a *Applier) Apply(ctx context.Context, c *cloudconfig.Config) (changes []string, err error) {
	a.changes = nil
	var failed error
	do := func(err error) { failed = errors.Join(failed, err) }
	do(a.hostname(c.Hostname))
	for _, u := range c.Users {
		do(a.user(ctx, u))
	}
	do(a.authorize(coreUser, c.SSHAuthorizedKeys))
	for _, f := range c.WriteFiles {
		do(a.file(f))
	}
	do(a.hosts(c))
	do(a.oem(c.CoreOS.OEM))
	before := len(a.changes)
	do(a.update(c.CoreOS.Update))
	var readers []cloudconfig.Unit
	if len(a.changes) > before {
		readers = updateReaders
	}
	do(a.units(ctx, slices.Concat(
		a.network(c.CoreOS.Units), environment("etcd.service", c.CoreOS.Etcd), environment("fleet.service", c.CoreOS.Fleet),
		environment("flanneld.service", c.CoreOS.Flannel), environment("locksmithd.service", c.CoreOS.Locksmith),
		readers, c.CoreOS.Units)))
	return a.changes, failed
}

func (a *Applier) changed(format string, args ...any) {
	change := fmt.Sprintf(format, args...)
	slog.Info(change)
	a.changes = append(a.changes, change)
}

// note returns what takes the outcome of a change.
func (a *Applier) note(change string) func(bool, error) error {
	return func(changed bool, err error) error {
		if err == nil && changed {
			a.changed("%s", change)
		}
		return err
	}
}

func (a *Applier) write(f file) error { return a.note("wrote " + f.path)(a.Root.write(f)) }

func (a *Applier) file(f cloudconfig.File) error {
	uid, gid, err := a.Root.owner(f.Owner)
	if err != nil {
		return fmt.Errorf("write %s: owner %s: %w", f.Path, f.Owner, err)
	}
	return a.write(file{f.Path, f.Data, f.Mode, uid, gid})
}

// ScriptUnit is the unit that runs a script.
const ScriptUnit = "coreos-cloudinit-script.service"

// Script runs user-data that is a script, at each boot, from a file of the workspace.
func (a *Applier) Script(ctx context.Context, text []byte, workspace string) error {
	path := filepath.Join(workspace, "script")
	if err := a.write(file{path: path, data: text, mode: 0o700}); err != nil {
		return err
	}
	return a.Units.RunScript(ctx, ScriptUnit, path)
}

func (a *Applier) hostname(name string) error {
	if name == "" {
		return nil
	}
	if err := a.write(file{path: "/etc/hostname", data: []byte(name + "\n"), mode: 0o644}); err != nil {
		return err
	}
	if err := a.SetHostname(name); err != nil {
		return fmt.Errorf("hostname %s: %w", name, err)
	}
	return nil
}

// hosts makes the hostname an alias of the machine itself.
func (a *Applier) hosts(c *cloudconfig.Config) error {
	if c.ManageEtcHosts == "" {
		return nil
	}
	name := c.Hostname
	if name == "" {
		text, err := a.Root.read("/etc/hostname")
		if err != nil {
			return err
		}
		if name = strings.TrimSpace(string(text)); name == "" {
			return errors.New("manage_etc_hosts: the machine has no hostname")
		}
	}
	names := name
	if short, _, ok := strings.Cut(name, "."); ok {
		names += " " + short
	}
	text := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n", names)
	return a.write(file{path: "/etc/hosts", data: []byte(text), mode: 0o644})
}

func (a *Applier) oem(settings cloudconfig.Settings) error {
	if len(settings) == 0 {
		return nil
	}
	var text strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&text, "%s=%s\n", s.Name, quote(s.Value))
	}
	return a.write(file{path: "/etc/oem-release", data: []byte(text.String()), mode: 0o644})
}

const updateConf = "/etc/coreos/update.conf"

// update sets lines of update.conf; others that are there stay.
func (a *Applier) update(settings cloudconfig.Settings) error {
	if len(settings) == 0 {
		return nil
	}
	old, err := a.Root.read(updateConf)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(old), "\n"), "\n")
	for _, s := range settings {
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" || strings.HasPrefix(line, s.Name+"=") })
		lines = append(lines, s.Name+"="+s.Value)
	}
	return a.write(file{path: updateConf, data: []byte(strings.Join(lines, "\n") + "\n"), mode: 0o644})
}

// updateReaders are the daemons that read update.conf when they start.
var updateReaders = []cloudconfig.Unit{{Name: "update-engine.service", Command: "try-restart"}, {Name: "locksmithd.service", Command: "try-restart"}}

// NewApplier returns what applies configs to the running system, and what ends it.
func NewApplier(ctx context.Context, keyName string) (*Applier, func(), error) {
	if filepath.Base(keyName) != keyName || keyName == "." || keyName == ".." {
		return nil, nil, fmt.Errorf("%q cannot be the name of a file of keys", keyName)
	}
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("systemd: %w", err)
	}
	return &Applier{
		Root: "/", Units: Systemd{conn}, Accounts: Shadow{}, Fetch: fetchKeys, KeyName: keyName, LockFile: lockFile,
		SetHostname: func(name string) error { return unix.Sethostname([]byte(name)) },
	}, conn.Close, nil
}

// fetchKeys returns what is at a URL.
func fetchKeys(ctx context.Context, url string) ([]byte, error) {
	data, err := datasource.URL(url).Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return data.UserData, nil
}
