// Package cloudconfig reads #cloud-config in the dialect of CoreOS
// (https://github.com/coreos/coreos-cloudinit/blob/v1.14.0/Documentation/cloud-config.md).
// What is wrong is reported with its place, and left out; the rest counts.
package cloudconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of what is read.
const (
	// MaxSize is in bytes; more data for a machine belongs elsewhere, to be fetched.
	MaxSize = 1 << 20
	// MaxFile is how many bytes the content of a file may have, unpacked.
	MaxFile = 16 << 20
	// maxNodes bounds what aliases of YAML can blow a text up to.
	maxNodes = 100_000
	// maxProblems are enough to mend first.
	maxProblems = 200
)

// ErrFormat is in the chain of every error about a text that is no cloud-config at all.
var ErrFormat = errors.New("not a cloud-config")

// Kind says what user-data is.
type Kind int

// The kinds.
const (
	Unknown Kind = iota
	Empty
	CloudConfig // begins with #cloud-config
	Script      // begins with #!
	Ignition    // JSON with a version of Ignition's
)

var kinds = map[Kind]string{Unknown: "unknown", Empty: "empty", CloudConfig: "cloud-config", Script: "script", Ignition: "ignition"}

func (k Kind) String() string { return kinds[k] }

// KindOf tells what user-data is, by its beginning.
func KindOf(text []byte) Kind {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return Empty
	case string(bytes.TrimRight(first, " \t\r")) == "#cloud-config":
		return CloudConfig
	case bytes.HasPrefix(text, []byte("#!")):
		return Script
	case isIgnition(text):
		return Ignition
	}
	return Unknown
}

func isIgnition(text []byte) bool {
	var c struct {
		Ignition struct{ Version string }
	}
	return json.Unmarshal(text, &c) == nil && c.Ignition.Version != ""
}

// Config is a cloud-config. What it does not say is the zero value.
type Config struct {
	Hostname          string
	SSHAuthorizedKeys []string
	Users             []User
	WriteFiles        []File
	// ManageEtcHosts is "localhost": the hostname is an alias of it.
	ManageEtcHosts string
	CoreOS         CoreOS
}

// CoreOS is what only this dialect has.
type CoreOS struct {
	Etcd, Fleet, Flannel, Locksmith, Update Settings
	Units                                   []Unit
	OEM                                     Settings // the lines of oem-release
}

// Settings are variables of a daemon's environment, in the order of the text.
type Settings []Setting

// Setting is one of them.
type Setting struct{ Name, Value string }

// User is an account to be made, or one that is there and gets keys and a password.
type User struct {
	Name, PasswordHash, GECOS, Homedir, PrimaryGroup, Shell string

	Groups, SSHAuthorizedKeys []string
	// SSHImportURLs are where more keys are fetched from.
	SSHImportURLs []string

	NoCreateHome, NoUserGroup, System, NoLogInit bool
}

// File is a file to be written.
type File struct {
	Path  string
	Data  []byte // unpacked
	Owner string // "user:group", "user", or "" for root
	// Mode has permission, set-id and sticky bits as chmod(1) counts them.
	Mode uint32
}

// Unit is a unit of systemd, or a file of networkd.
type Unit struct {
	Name, Content, Command string

	Mask, Enable, Runtime bool

	DropIns []DropIn
}

// DropIn is a file in a unit's NAME.d.
type DropIn struct{ Name, Content string }

// Parse reads a cloud-config. The problems say what of it does not count, ascending by
// line; the error that nothing does.
func Parse(text []byte) (*Config, []Problem, error) {
	if len(text) > MaxSize {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrFormat, len(text), MaxSize)
	}
	if KindOf(text) != CloudConfig {
		return nil, nil, fmt.Errorf("%w: the first line is not #cloud-config", ErrFormat)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrFormat, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	d := &decoder{}
	var c Config
	if len(document.Content) > 0 {
		d.config(document.Content[0], &c)
	}
	if d.nodes > maxNodes {
		return nil, nil, fmt.Errorf("%w: more than %d values, counting what aliases stand for", ErrFormat, maxNodes)
	}
	return &c, d.sorted(), nil
}
