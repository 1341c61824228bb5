// Package surface holds the table of what an image exposes: its units, the programs with
// rights of their own, and, once it has booted, ports, sockets and files that others reach. A
// test compares machines with the table, so that a reviewer sees each change of it.
package surface

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// File is the table's file, below go-src.
const File = "test/surface/surface.list"

//go:embed surface.list
var text string

// Base is one of the bases of which the system is assembled.
type Base string

// The bases.
const (
	Dev     Base = "dev"
	Release Base = "release"
)

var bases = []Base{Dev, Release}

// both stands in the file for all bases.
const both = "both"

// Kind says what an entry is about.
type Kind string

// The kinds. Those up to Capability can be told from the image, the others from a machine that
// has booted.
const (
	Unit       Kind = "unit"
	UserUnit   Kind = "user-unit"
	SetID      Kind = "set-id"
	Capability Kind = "capability"
	Port       Kind = "port"
	Socket     Kind = "socket"
	Writable   Kind = "writable"
)

// kinds are in the order of the file, each with its heading there.
var kinds = []struct {
	kind    Kind
	heading string
}{
	{Unit, "Units of systemd: whether they are enabled, and for services the exposure by systemd-analyze security,\n# from 0 to 10, without drop-ins of the machine."},
	{UserUnit, "Units of each user's systemd."},
	{SetID, "Programs that are set-user-id or set-group-id."},
	{Capability, "Programs with capabilities."},
	{Port, "Ports that listen: protocol, address, program. \"own\" is the machine's address in its network,\n# \"high\" a port that the kernel chooses."},
	{Socket, "Unix sockets that all can write; those with @ are in the name space of the network."},
	{Writable, "Files, directories and devices that all can write."},
}

// Image are the kinds that can be told from the image.
var Image = []Kind{Unit, UserUnit, SetID, Capability}

// Booted are those that only a machine has.
var Booted = []Kind{Port, Socket, Writable}

// Entry is something that an image exposes.
type Entry struct {
	Kind Kind
	What string
}

// Table says of each entry on which bases it is there.
type Table map[Entry][]Base

// Load returns the table of this tree.
func Load() (Table, error) { return Parse(text) }

// Parse reads the form that String writes.
func Parse(text string) (Table, error) {
	table := Table{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, "\t", 3)
		if len(fields) != 3 || fields[2] == "" {
			return nil, fmt.Errorf("%s: %q has no three fields", File, line)
		}
		entry := Entry{Kind(fields[1]), fields[2]}
		if !slices.Contains(slices.Concat(Image, Booted), entry.Kind) {
			return nil, fmt.Errorf("%s: %q: there is no such kind", File, line)
		}
		if _, again := table[entry]; again {
			return nil, fmt.Errorf("%s: %q is there twice", File, line)
		}
		switch base := Base(fields[0]); {
		case base == both:
			table[entry] = bases
		case slices.Contains(bases, base):
			table[entry] = []Base{base}
		default:
			return nil, fmt.Errorf("%s: %q: there is no such base", File, line)
		}
	}
	return table, nil
}

const intro = `# What an image exposes to its users, its containers and the network. Each line: the bases on
# which it is so (both, dev, release), the kind, and what it is.
#
# The tests bases and boot-* compare machines with this. After a change that is meant,
# "make surface" writes what the image has: commit the difference with its reason.
`

// String returns the table as the text of a file.
func (t Table) String() string {
	var b strings.Builder
	b.WriteString(intro)
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n# %s\n", k.heading)
		for _, entry := range slices.SortedFunc(maps.Keys(t), func(a, b Entry) int { return strings.Compare(a.What, b.What) }) {
			if entry.Kind == k.kind {
				fmt.Fprintf(&b, "%s\t%s\t%s\n", name(t[entry]), entry.Kind, entry.What)
			}
		}
	}
	return b.String()
}

func name(on []Base) string {
	if len(on) == len(bases) {
		return both
	}
	return string(on[0])
}

// Changes returns what a machine on a base has of some kinds and the table has not, and what
// the table has and the machine has not.
func (t Table) Changes(base Base, of []Kind, seen []Entry) (added, gone []Entry) {
	for _, entry := range seen {
		if slices.Contains(of, entry.Kind) && !slices.Contains(t[entry], base) {
			added = append(added, entry)
		}
	}
	for entry, on := range t {
		if slices.Contains(of, entry.Kind) && slices.Contains(on, base) && !slices.Contains(seen, entry) {
			gone = append(gone, entry)
		}
	}
	slices.SortFunc(gone, func(a, b Entry) int { return strings.Compare(a.What, b.What) })
	return added, gone
}

// Update makes the table say of a base what a machine on it has of some kinds.
func (t Table) Update(base Base, of []Kind, seen []Entry) {
	t.Add(base, of, seen)
	_, gone := t.Changes(base, of, seen)
	for _, entry := range gone {
		t[entry] = slices.DeleteFunc(slices.Clone(t[entry]), func(b Base) bool { return b == base })
		if len(t[entry]) == 0 {
			delete(t, entry)
		}
	}
}

// Add is Update for a machine that does not have all that others on the base have.
func (t Table) Add(base Base, of []Kind, seen []Entry) {
	added, _ := t.Changes(base, of, seen)
	for _, entry := range added {
		on := append(slices.Clone(t[entry]), base)
		slices.Sort(on)
		t[entry] = slices.Compact(on)
	}
}
