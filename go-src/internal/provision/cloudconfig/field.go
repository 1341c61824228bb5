package cloudconfig

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"coreos/internal/provision/sshkey"
)

const leftOut = "; left out"

// leaveOut reports that an entry of a list is left out. If the reason has been reported since
// the problem with the number before, it is completed; otherwise the key is missing.
func (d *decoder) leaveOut(p at, before int, key, what string) {
	told := false
	for i := before; i < len(d.problems); i++ {
		problem := &d.problems[i]
		if problem.Warning {
			continue
		}
		told = true
		problem.Message = strings.TrimSuffix(problem.Message, leftOut) + "; " + what + " is left out"
	}
	if !told {
		d.problem(p, "%s has no %s; left out", what, key)
	}
}

// groupList returns a field for names of groups: a list, or a text with commas, as useradd(8)
// takes it.
func (d *decoder) groupList(to *[]string) field {
	return func(p at) {
		node, ok := d.resolve(p.node)
		if ok && node.Kind != yaml.ScalarNode {
			d.list(p, func(p at) {
				var name string
				d.group(&name)(p)
				if name != "" {
					*to = append(*to, name)
				}
			})
			return
		}
		text, _ := d.text(p)
		for name := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
			if want := isAccount(name); want != "" {
				d.problem(p, "%.80q: want %s; left out", name, want)
				continue
			}
			d.groups = append(d.groups, wanted{p, name})
			*to = append(*to, name)
		}
	}
}

// group returns a field for the name of a group.
func (d *decoder) group(to *string) field {
	return func(p at) {
		if d.into(to, isAccount)(p); *to != "" {
			d.groups = append(d.groups, wanted{p, *to})
		}
	}
}

// shell returns a field for a shell.
func (d *decoder) shell(to *string) field {
	return func(p at) {
		if d.into(to, isPasswd)(p); *to != "" {
			d.shells = append(d.shells, wanted{p, *to})
		}
	}
}

// checkMachine warns of groups and shells that the machine does not have, and that are not made by
// the config.
func (d *decoder) checkMachine(on *Machine, c *Config) {
	for _, group := range d.groups {
		isOwn := func(u User) bool { return u.Name == group.name }
		if !slices.Contains(on.Groups, group.name) && !slices.ContainsFunc(c.Users, isOwn) {
			d.warn(group.at, "there is no group %q; it is left out", group.name)
		}
	}
	for _, shell := range d.shells {
		isWritten := func(f File) bool { return f.Path == shell.name }
		if !on.HasFile(shell.name) && !slices.ContainsFunc(c.WriteFiles, isWritten) {
			d.warn(shell.at, "there is no shell %q: without it the user cannot log in", shell.name)
		}
	}
}

// keyLines returns a field for keys of SSH: a list, or a text with a key in each line. A text in
// a list may have several lines, too.
func (d *decoder) keyLines(to *[]string) field {
	each := func(p at) {
		text, ok := d.text(p)
		if !ok {
			return
		}
		for _, line := range sshkey.Lines(text) {
			warning, err := sshkey.Check(line)
			if err != nil {
				d.problem(p, "%v; left out", err)
				continue
			}
			if warning != "" {
				d.warn(p, "%s", warning)
			}
			*to = append(*to, line)
		}
	}
	return func(p at) {
		if node, ok := d.resolve(p.node); ok && node.Kind == yaml.ScalarNode {
			each(p)
			return
		}
		d.list(p, each)
	}
}
