// Package cloudinit applies a cloud-config to the machine. Applying it again changes
// nothing. If one step fails, the other steps are done.
package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/datasource"
	"coreos/internal/provision/netconf"
)

// coreUser is the user who gets the keys that name no user.
const coreUser = "core"

// Applier applies cloud-configs.
type Applier struct {
	Root     tree
	Units    Units
	Accounts Accounts
	// Fetch downloads from a URL, with limits of time and size.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// SetHostname sets the hostname in the kernel.
	SetHostname func(string) error
	// LockFile is a file to lock, so that configs are applied one after the other; empty
	// for none.
	LockFile string
	// KeyName is the name of the file of keys in .ssh/authorized_keys.d.
	KeyName string
	// Environment are lines of /etc/environment, in the order of the file.
	Environment cloudconfig.Settings
	// Network is the network in the metadata of the platform. If it is not nil, files of an
	// earlier network that are not in it are removed.
	Network []netconf.File

	changes []string
}

// lockFile is locked by the units of several sources, which may run at the same time.
const lockFile = "/run/coreos/cloudinit.lock"

// lock waits until no other config is being applied.
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

// Apply applies a config. It returns the changes and all errors.
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
		if f.Path == environmentFile {
			f.Data = setLines(f.Data, a.Environment)
		}
		do(a.file(f))
	}
	do(a.setEnvironment())
	do(a.shells(c.Users))
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

// note returns a function that records the change if there was one.
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

// ScriptUnit is the unit that runs a script of user-data.
const ScriptUnit = "coreos-cloudinit-script.service"

// Script runs user-data that is a script. It runs at each boot, from a file in the
// workspace.
func (a *Applier) Script(ctx context.Context, text []byte, workspace string) error {
	path := filepath.Join(workspace, "script")
	if err := a.write(file{path: path, data: text, mode: 0o700}); err != nil {
		return err
	}
	if program := interpreter(text); program != "" && !a.Root.exists(program) {
		return fmt.Errorf("the script's interpreter %s is not on this machine", program)
	}
	return a.Units.RunScript(ctx, ScriptUnit, path)
}

// interpreter returns the program in the first line of a script, "" if there is none.
func interpreter(text []byte) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(string(text), "#!"), "\n")
	for program := range strings.FieldsSeq(first) {
		return program
	}
	return ""
}

func (a *Applier) hostname(name string) error {
	if name == "" {
		return nil
	}
	name = cloudconfig.KernelHostname(name)
	if err := a.write(file{path: "/etc/hostname", data: []byte(name + "\n"), mode: 0o644}); err != nil {
		return err
	}
	if err := a.SetHostname(name); err != nil {
		return fmt.Errorf("hostname %s: %w", name, err)
	}
	return nil
}

// hosts makes the hostname an alias of localhost in /etc/hosts.
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

// update sets lines of update.conf and keeps the others.
func (a *Applier) update(settings cloudconfig.Settings) error {
	if len(settings) == 0 {
		return nil
	}
	old, err := a.Root.read(updateConf)
	if err != nil {
		return err
	}
	return a.write(file{path: updateConf, data: setLines(old, settings), mode: 0o644})
}

// updateReaders are the units to restart after a change of update.conf, which they read
// when they start.
var updateReaders = []cloudconfig.Unit{{Name: "update-engine.service", Command: "try-restart"}, {Name: "locksmithd.service", Command: "try-restart"}}

// NewApplier returns an applier for the running system, and a function that closes it.
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

// keyServer is a URL of keys. Unlike user-data, keys that do not exist are not waited for.
type keyServer struct{ datasource.Source }

func (k keyServer) Fetch(ctx context.Context) (*datasource.Data, error) {
	data, err := k.Source.Fetch(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", datasource.ErrInvalid, err)
	}
	return data, err
}

// keyWait is the time limit of a download of keys. The network may not be up yet.
const keyWait = time.Minute

// fetchKeys downloads keys from a URL.
func fetchKeys(ctx context.Context, url string) ([]byte, error) {
	data, err := datasource.Select(ctx, datasource.Options{Wait: keyWait}, keyServer{datasource.URL(url)})
	if err != nil {
		return nil, err
	}
	return data.UserData, nil
}
