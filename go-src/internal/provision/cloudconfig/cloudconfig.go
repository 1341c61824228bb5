// Package cloudconfig parses #cloud-config in the dialect of CoreOS
// (https://github.com/coreos/coreos-cloudinit/blob/v1.14.0/Documentation/cloud-config.md).
// It reports what is not valid, with its position, and ignores it; the rest is used.
package cloudconfig

import (
	"errors"
	"fmt"
	"strings"
)

// Limits.
const (
	// MaxSize is the size limit of a cloud-config in bytes. More data has to be downloaded
	// from elsewhere.
	MaxSize = 1 << 20
	// MaxFile is the size limit of the unpacked content of a file in bytes.
	MaxFile = 16 << 20
	// maxNodes is the limit of YAML values, counting those that aliases repeat.
	maxNodes = 100_000
	// maxProblems is the limit of reported problems.
	maxProblems = 200
)

// ErrFormat is in the chain of each error about a text that is not a cloud-config at all.
var ErrFormat = errors.New("not a cloud-config")

// Config is a cloud-config. Fields that it does not set are zero.
type Config struct {
	Hostname          string
	SSHAuthorizedKeys []string
	Users             []User
	WriteFiles        []File
	// ManageEtcHosts is "localhost" if the hostname is to be an alias of it in /etc/hosts.
	ManageEtcHosts string
	CoreOS         CoreOS
}

// CoreOS is the section coreos, which only this dialect has.
type CoreOS struct {
	Etcd, Fleet, Flannel, Locksmith, Update Settings
	Units                                   []Unit
	OEM                                     Settings // the lines of oem-release
}

// Settings are environment variables of a daemon, in the order of the text.
type Settings []Setting

// Setting is an environment variable.
type Setting struct{ Name, Value string }

// User is an account to create. An account that exists gets keys and a password.
type User struct {
	Name, PasswordHash, GECOS, Homedir, PrimaryGroup, Shell string

	Groups, SSHAuthorizedKeys []string
	// SSHImportURLs are URLs from which keys are downloaded.
	SSHImportURLs []string

	NoCreateHome, NoUserGroup, System, NoLogInit bool
}

// File is a file to write.
type File struct {
	Path  string
	Data  []byte // unpacked
	Owner string // "user:group", "user", or "" for root
	// Mode has the permission, set-id and sticky bits of chmod(1).
	Mode uint32
}

// Unit is a systemd unit or a file of systemd-networkd.
type Unit struct {
	Name, Content, Command string

	Mask, Enable, Runtime bool

	DropIns []DropIn
}

// DropIn is a drop-in file of a unit, in NAME.d.
type DropIn struct{ Name, Content string }

// Parse parses a cloud-config. The problems, sorted by line, say which parts are ignored.
// The error says that the whole text is ignored.
func Parse(text []byte) (*Config, []Problem, error) { return ParseFor(text, nil) }

// Machine is what a machine has, as far as it matters to a config.
type Machine struct {
	Groups  []string
	HasFile func(path string) bool
}

// ParseFor is Parse for a machine: it warns of groups and shells that the machine does not have.
// If the machine is nil, nothing is known of it.
func ParseFor(text []byte, on *Machine) (*Config, []Problem, error) {
	if len(text) > MaxSize {
		return nil, nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrFormat, len(text), MaxSize)
	}
	if KindOf(text) != CloudConfig {
		return nil, nil, fmt.Errorf("%w: %s", ErrFormat, WhyUnknown(text))
	}
	d := &decoder{}
	var c Config
	root, err := d.document(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrFormat, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if root != nil {
		d.config(root, &c)
	}
	if on != nil {
		d.checkMachine(on, &c)
	}
	if d.nodes > maxNodes {
		return nil, nil, fmt.Errorf("%w: more than %d values, counting what aliases stand for", ErrFormat, maxNodes)
	}
	return &c, d.sorted(), nil
}
