package ignition

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	context "github.com/coreos/vcontext/path"
	"github.com/coreos/vcontext/report"

	"coreos/internal/provision/sshkey"
)

// CheckMachine checks a config against this system, as docs/ignition.md describes it under "What
// is different here": what Ignition accepts, but what cannot work. An error would stop the first
// boot; a warning is about what depends on the release, or on the rest of the boot.
func CheckMachine(config []byte) (report.Report, error) {
	var c machineConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return report.Report{}, err
	}
	m := newMachine(&c)
	m.kernelArguments()
	m.accounts()
	m.disks()
	m.storage()
	m.nodes()
	return m.report, nil
}

// machineConfig has the parts of a config that are checked.
type machineConfig struct {
	KernelArguments struct{ ShouldExist, ShouldNotExist []string }
	Passwd          struct {
		Users  []userEntry
		Groups []struct{ Name string }
	}
	Storage struct {
		Disks []struct {
			Partitions []struct{ Label *string }
		}
		Raid []struct {
			Level   *string
			Devices []string
		}
		Luks []struct {
			Device *string
			Clevis struct {
				Custom struct{ Pin *string }
				Tang   []json.RawMessage
				Tpm2   *bool
			}
			Cex struct{ Enabled *bool }
		}
		Filesystems []struct {
			Device string
			Path   *string
		}
		Files, Directories, Links []nodeEntry
	}
}

type userEntry struct {
	Name, PrimaryGroup, Shell string
	Groups, SSHAuthorizedKeys []string
	NoUserGroup               bool
	ShouldExist               *bool
}

type nodeEntry struct {
	Path        string
	User, Group struct{ Name *string }
	Contents    struct{ Source, Compression *string }
}

// machine is the state of a check.
type machine struct {
	config        *machineConfig
	users, groups []string // of the image and of the config
	report        report.Report
}

func newMachine(c *machineConfig) *machine {
	m := &machine{config: c, users: slices.Clone(imageUsers)}
	for _, user := range c.Passwd.Users {
		m.users = append(m.users, user.Name)
	}
	// useradd makes a group for each user.
	m.groups = slices.Concat(imageGroups, m.users)
	for _, group := range c.Passwd.Groups {
		m.groups = append(m.groups, group.Name)
	}
	return m
}

func (m *machine) fail(at context.ContextPath, format string, args ...any) {
	m.report.AddOnError(at, fmt.Errorf(format, args...))
}

func (m *machine) warn(at context.ContextPath, format string, args ...any) {
	m.report.AddOnWarn(at, fmt.Errorf(format, args...))
}

func at(parts ...any) context.ContextPath { return context.New("json", parts...) }

func (m *machine) kernelArguments() {
	for _, of := range []struct {
		key  string
		list []string
	}{
		{"shouldExist", m.config.KernelArguments.ShouldExist},
		{"shouldNotExist", m.config.KernelArguments.ShouldNotExist},
	} {
		if len(of.list) > 0 {
			m.fail(at("kernelArguments", of.key), "the kernel command line is signed with the system and cannot be changed by a config; remove them")
		}
	}
}

// accounts checks names of groups and users, shells and keys.
func (m *machine) accounts() {
	for i, user := range m.config.Passwd.Users {
		if user.ShouldExist != nil && !*user.ShouldExist {
			continue
		}
		if slices.Contains(imageGroups, user.Name) && !slices.Contains(imageUsers, user.Name) && user.PrimaryGroup == "" && !user.NoUserGroup {
			m.fail(at("passwd", "users", i, "name"), "the image has a group %q, so that useradd makes no user of this name: set primaryGroup, or noUserGroup", user.Name)
		}
		for j, group := range user.Groups {
			m.group(at("passwd", "users", i, "groups", j), group)
		}
		if user.PrimaryGroup != "" {
			m.group(at("passwd", "users", i, "primaryGroup"), user.PrimaryGroup)
		}
		if user.Shell != "" && !slices.Contains(imageShells, user.Shell) && !m.writes(user.Shell) {
			m.warn(at("passwd", "users", i, "shell"), "the image has no shell %q: without it the user %s cannot log in", user.Shell, user.Name)
		}
		for j, key := range user.SSHAuthorizedKeys {
			for _, line := range sshkey.Lines(key) {
				warning, err := sshkey.Check(line)
				if err != nil {
					warning = err.Error()
				}
				if warning != "" {
					m.warn(at("passwd", "users", i, "sshAuthorizedKeys", j), "%s", warning)
				}
			}
		}
	}
}

func (m *machine) group(at context.ContextPath, name string) {
	if !slices.Contains(m.groups, name) && strings.Trim(name, "0123456789") != "" {
		m.warn(at, "the image has no group %q: without passwd.groups that makes it, the first boot fails", name)
	}
}

// writes reports whether the config writes something at a path.
func (m *machine) writes(path string) bool {
	is := func(n nodeEntry) bool { return n.Path == path }
	return slices.ContainsFunc(m.config.Storage.Files, is) || slices.ContainsFunc(m.config.Storage.Links, is)
}

// systemLabels are the labels of the partitions of the system's disk.
var systemLabels = []string{"EFI-SYSTEM", "BIOS-BOOT", "BOOT-A", "USR-A", "BOOT-B", "USR-B", "OEM", "ROOT"}

// isSystemDevice reports whether a device is a partition of the system's disk.
func isSystemDevice(device string) bool {
	for _, dir := range []string{"/dev/disk/by-partlabel/", "/dev/disk/by-label/"} {
		if label, ok := strings.CutPrefix(device, dir); ok && slices.Contains(systemLabels, label) {
			return true
		}
	}
	return false
}

// disks checks partitions, arrays and encrypted volumes.
func (m *machine) disks() {
	for i, disk := range m.config.Storage.Disks {
		for j, partition := range disk.Partitions {
			if partition.Label != nil && slices.Contains(systemLabels, *partition.Label) {
				m.fail(at("storage", "disks", i, "partitions", j, "label"), "%q is a label of the system's own disk: choose another one", *partition.Label)
			}
		}
	}
	for i, raid := range m.config.Storage.Raid {
		if raid.Level != nil && *raid.Level == "linear" {
			m.fail(at("storage", "raid", i, "level"), "the kernel has no RAID of the level linear")
		}
		for j, device := range raid.Devices {
			m.device(at("storage", "raid", i, "devices", j), device)
		}
	}
	for i, luks := range m.config.Storage.Luks {
		if luks.Device != nil {
			m.device(at("storage", "luks", i, "device"), *luks.Device)
		}
		if c := luks.Clevis; len(c.Tang) > 0 || c.Tpm2 != nil && *c.Tpm2 || c.Custom.Pin != nil && *c.Custom.Pin != "" {
			m.fail(at("storage", "luks", i, "clevis"), "the system has no clevis: use keyFile, or no key, which makes one")
		}
		if luks.Cex.Enabled != nil && *luks.Cex.Enabled {
			m.fail(at("storage", "luks", i, "cex"), "the system has no CEX: use keyFile, or no key, which makes one")
		}
	}
}

func (m *machine) device(at context.ContextPath, device string) {
	if isSystemDevice(device) {
		m.fail(at, "%q is a partition of the system's own disk, which is in use: use another disk", device)
	}
}

// storage checks file systems.
func (m *machine) storage() {
	for i, fs := range m.config.Storage.Filesystems {
		m.device(at("storage", "filesystems", i, "device"), fs.Device)
		if fs.Path == nil || *fs.Path == "" {
			continue
		}
		where := at("storage", "filesystems", i, "path")
		if path.Clean(*fs.Path) == "/" {
			m.fail(where, "the root file system is mounted and cannot be replaced: mount one on /var, or on another directory")
		}
		m.path(where, *fs.Path)
	}
}

// readOnly are the directories that cannot be written, and why.
var readOnly = []struct{ dir, why string }{
	{"/usr", "is read-only and verified: use /opt/bin for programs, /etc for configuration"},
	{"/bin", "is a link into /usr, which is read-only: use /opt/bin"},
	{"/sbin", "is a link into /usr, which is read-only: use /opt/bin"},
	{"/lib", "is a link into /usr, which is read-only: use /etc, as in /etc/systemd/system"},
	{"/lib64", "is a link into /usr, which is read-only"},
	{"/oem", "is read-only"},
	{"/proc", "belongs to the kernel"},
	{"/sys", "belongs to the kernel"},
}

// volatile are the directories whose files are gone when systemd has started.
var volatile = []string{"/tmp", "/run", "/dev"}

func below(name, dir string) bool {
	name = path.Clean(name)
	return name == dir || strings.HasPrefix(name, dir+"/")
}

func (m *machine) path(at context.ContextPath, name string) {
	for _, each := range readOnly {
		if below(name, each.dir) {
			m.fail(at, "%q cannot be written: %s %s", name, each.dir, each.why)
		}
	}
	for _, dir := range volatile {
		if below(name, dir) {
			m.warn(at, "%q is gone when systemd has started: write a file in /etc/tmpfiles.d instead", name)
		}
	}
}

// accountFiles are the files that the programs of shadow-utils change, and a key of the config
// for each.
var accountFiles = map[string]string{"/etc/passwd": "users", "/etc/shadow": "users", "/etc/group": "groups", "/etc/gshadow": "groups"}

// nodes checks files, directories and links.
func (m *machine) nodes() {
	for _, of := range []struct {
		kind string
		list []nodeEntry
	}{
		{"files", m.config.Storage.Files},
		{"directories", m.config.Storage.Directories},
		{"links", m.config.Storage.Links},
	} {
		for i, node := range of.list {
			m.node(of.kind, i, node)
		}
	}
}

func (m *machine) node(kind string, i int, node nodeEntry) {
	where := at("storage", kind, i, "path")
	m.path(where, node.Path)
	if key := accountFiles[path.Clean(node.Path)]; key != "" && node.Contents.Source != nil {
		m.warn(where, "%q is the system's: a config that replaces it removes accounts that the system needs; use passwd.%s", node.Path, key)
	}
	if name := node.User.Name; name != nil && *name != "" && !slices.Contains(m.users, *name) {
		m.warn(at("storage", kind, i, "user", "name"), "the image has no user %q: without passwd.users that makes it, the first boot fails", *name)
	}
	if name := node.Group.Name; name != nil && *name != "" && !slices.Contains(m.groups, *name) {
		m.warn(at("storage", kind, i, "group", "name"), "the image has no group %q: without passwd.groups that makes it, the first boot fails", *name)
	}
	m.content(at("storage", kind, i, "contents", "source"), node)
}
