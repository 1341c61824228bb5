package cloudinit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"coreos/internal/provision/cloudconfig"
)

// environmentFile has the addresses of the machine, for EnvironmentFile= of units.
const environmentFile = "/etc/environment"

// setEnvironment sets the lines of /etc/environment that the platform knows, and keeps the
// others.
func (a *Applier) setEnvironment() error {
	if len(a.Environment) == 0 {
		return nil
	}
	old, err := a.Root.read(environmentFile)
	if err != nil {
		return err
	}
	return a.write(file{path: environmentFile, data: setLines(old, a.Environment), mode: 0o644})
}

// setLines sets lines NAME=VALUE of a text, at its end, and keeps the others.
func setLines(text []byte, settings cloudconfig.Settings) []byte {
	if len(settings) == 0 {
		return text
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, s := range settings {
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" || strings.HasPrefix(line, s.Name+"=") })
		lines = append(lines, s.Name+"="+s.Value)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// shells names the shells of accounts that the machine does not have: sshd refuses such users.
func (a *Applier) shells(users []cloudconfig.User) error {
	var failed error
	for _, u := range users {
		if u.Shell != "" && !a.Root.exists(u.Shell) {
			failed = errors.Join(failed, fmt.Errorf("user %s: the shell %s is not on this machine: the user cannot log in", u.Name, u.Shell))
		}
	}
	return failed
}
