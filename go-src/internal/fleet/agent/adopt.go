package agent

import "coreos/internal/fleet/unitfile"

// unknown is the hash of an installed file that has to be replaced or removed, whatever is in
// it.
const unknown = "unknown"

// adopt returns a unit that an earlier run installed. A file that cannot be read is unknown.
func adopt(name string, found Found) installed {
	is := installed{hash: unknown}
	if file, err := unitfile.Parse(found.Text); err == nil {
		if is, err = describe(name, file); err != nil {
			is = installed{hash: file.Hash().String()}
		}
	}
	if found.Launched {
		is.run = started
	}
	return is
}

// describe returns a unit with the contents of a file, before it is started.
func describe(name string, file *unitfile.File) (installed, error) {
	is := installed{hash: file.Hash().String()}
	n, err := unitfile.ParseName(name)
	if err != nil {
		return is, err
	}
	r, err := file.Requirements(n)
	is.bound, is.global, is.runOnce = r.Global || r.MachineID != "" || is.isStandIn(), r.Global, r.RunOnce
	is.needs, is.conflicts = file.Needs(n), r.Conflicts
	return is, err
}

// Stays reports whether a unit that was found cannot run on another machine.
func Stays(name string, found Found) bool {
	is := adopt(name, found)
	return is.bound || is.global
}
