// Package settings reads the configuration with which systemd runs etcd-member.service: the
// variables of the unit and its drop-ins, those of its environment files (systemd.exec(5)), and the
// flags of its command line.
package settings

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"coreos/internal/etcd/envfile"
	"coreos/internal/etcd/unit"
	"coreos/internal/host/systemd"
)

// Settings are etcd's variables. The embedded environment file is the one that commands change;
// Get knows all places.
type Settings struct {
	*envfile.File
	// places are where variables are set, each before those that count more.
	places []place
	unset  []string
}

// FromFile reads an environment file, and nothing else.
func FromFile(path string) (*Settings, error) {
	file, err := envfile.Read(path)
	if err != nil {
		return nil, err
	}
	return &Settings{File: file, places: []place{{name: path, file: file}}}, nil
}

// ErrUnknown says what to do if the configuration cannot be read.
var ErrUnknown = errors.New("write the same settings as variables into a file, and name it with --env-file")

// FromService reads the settings of a service. path is the environment file to change.
func FromService(service unit.Service, path string) (*Settings, error) {
	if filepath.Base(service.Program) != "etcd" {
		return nil, fmt.Errorf("%s runs %q, not etcd, so etcd's settings are not known: %w", unit.Name, service.Program, ErrUnknown)
	}
	file, err := envfile.Read(path)
	if err != nil {
		return nil, err
	}
	s := &Settings{File: file, unset: service.Unset}
	s.places = []place{{name: "Environment=", values: systemd.Variables(service.Environment)}}
	for _, named := range service.Files {
		if err := s.addFiles(named); err != nil {
			return nil, err
		}
	}
	s.places = append(s.places, place{name: "ExecStart=", values: flags(service.Args)})
	if file := s.Get("ETCD_CONFIG_FILE"); file != "" {
		return nil, fmt.Errorf("%s takes etcd's settings from %s, which etcd-memberctl does not read: %w", unit.Name, file, ErrUnknown)
	}
	if i := slices.IndexFunc(service.Pass, isVariable); i >= 0 {
		return nil, fmt.Errorf("%s has PassEnvironment=%s, whose value is not known: %w", unit.Name, service.Pass[i], ErrUnknown)
	}
	return s, nil
}

// addFiles adds the files of one EnvironmentFile=, which may be a pattern.
func (s *Settings) addFiles(pattern string) error {
	paths := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		paths, _ = filepath.Glob(pattern) // systemd refuses a bad pattern
	}
	for _, path := range paths {
		file := s.File
		if filepath.Clean(path) != filepath.Clean(s.Path()) {
			var err error
			if file, err = envfile.Read(path); err != nil {
				return err
			}
		}
		s.places = append(s.places, place{name: path, file: file})
	}
	return nil
}

// Get returns the value that a variable has for etcd, "" if it has none. A flag of the command line
// is its variable: --initial-cluster is ETCD_INITIAL_CLUSTER.
func (s *Settings) Get(name string) (value string) {
	for _, p := range s.places {
		if slices.Contains(s.unset, name) && p.name != "ExecStart=" {
			continue
		}
		if v, set := p.lookup(name); set {
			value = v
		}
	}
	return value
}

// CanSet returns an error unless etcd takes the variables with these names from the environment
// file. A name that ends with * is a prefix.
func (s *Settings) CanSet(names ...string) error {
	own := slices.IndexFunc(s.places, func(p place) bool { return p.file == s.File })
	if own < 0 {
		return fmt.Errorf("%s does not read %s: give it EnvironmentFile=-%s", unit.Name, s.Path(), s.Path())
	}
	for _, p := range s.places[own+1:] {
		for _, name := range p.names() {
			if matches(name, names) {
				return fmt.Errorf("%s of %s sets %s, which counts more than %s: remove it there", p.name, unit.Name, name, s.Path())
			}
		}
	}
	for _, name := range s.unset {
		if matches(name, names) {
			return fmt.Errorf("UnsetEnvironment= of %s removes %s: remove it there", unit.Name, name)
		}
	}
	return nil
}

func matches(name string, names []string) bool {
	return slices.ContainsFunc(names, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return name == pattern || isPrefix && strings.HasPrefix(name, prefix)
	})
}

// Unset takes all variables whose names begin with a prefix from etcd. Those that another place sets
// are set to the empty value, which etcd does not see.
func (s *Settings) Unset(prefix string) error {
	s.File.Unset(prefix)
	for _, p := range s.places {
		for _, name := range p.names() {
			if strings.HasPrefix(name, prefix) && s.Get(name) != "" {
				if err := s.Set(name, ""); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
