// Package netconf turns the network that a platform's metadata describes into files of
// systemd-networkd. It reads three forms:
//
//   - a Debian interfaces(5) file, as config drives have it: see the manual page of
//     ifupdown, and those of its packages vlan and ifenslave for VLANs and bonds;
//   - OpenStack's network_data.json, as nova's doc/api_schemas/network_data.json
//     describes it, with the options of bonds as cloud-init reads them;
//   - the list of interfaces that DigitalOcean, Packet and VMware give, as package
//     datasource has it.
//
// All become the same model, which is checked as a whole and then written as
// systemd.network(5) and systemd.netdev(5) have it. Nothing is copied from the metadata
// into a file but words of few characters: addresses, numbers and names are parsed and
// written anew.
package netconf

import (
	"fmt"
	"slices"
	"strings"

	"coreos/internal/provision/datasource"
)

// Prefix is how the names of all files begin. Networkd sorts the files of all directories
// by name, and the first that matches an interface counts: these come after whatever
// people call theirs, and before zz-default.network, which takes all that is left.
const Prefix = "zz-cloudinit-"

// File is a file for a directory of networkd's, such as /run/systemd/network.
type File struct{ Name, Content string }

// Result is what a network becomes.
type Result struct {
	// Form is the form that was read; empty if the metadata has none of what was
	// wanted.
	Form Form
	// Files are in the order of the metadata, those of interfaces to be made first.
	Files []File
	// Warnings are what has no effect.
	Warnings []string
}

// Form is a form that metadata has a network in.
type Form string

// The forms. Auto is the first of OpenStack, Debian, and a list that is there.
// DigitalOcean, Packet and VMware are all names for the list.
const (
	Auto         Form = "auto"
	Debian       Form = "debian"
	OpenStack    Form = "openstack"
	Packet       Form = "packet"
	VMware       Form = "vmware"
	DigitalOcean Form = "digitalocean"
)

var forms = []Form{Auto, Debian, DigitalOcean, OpenStack, Packet, VMware}

// Names is all forms, for messages.
func Names() string {
	names := make([]string, len(forms))
	for i, form := range forms {
		names[i] = string(form)
	}
	return strings.Join(names, ", ")
}

// ParseForm returns the form of a name.
func ParseForm(name string) (Form, error) {
	if !slices.Contains(forms, Form(name)) {
		return "", fmt.Errorf("there is no form %.80q of a network, but %s", name, Names())
	}
	return Form(name), nil
}

// readers make the plan of a network in the order in which forms count, from the part of
// the metadata that has the form.
var readers = []struct {
	forms []Form
	has   func(*datasource.Network) bool
	read  func(*plan, *datasource.Network) error
}{
	{
		[]Form{OpenStack},
		func(n *datasource.Network) bool { return len(n.OpenStack) != 0 },
		func(p *plan, n *datasource.Network) error { return readOpenStack(p, n.OpenStack) },
	}, {
		[]Form{Debian},
		func(n *datasource.Network) bool { return len(n.Debian) != 0 },
		func(p *plan, n *datasource.Network) error { return readDebian(p, n.Debian) },
	}, {
		[]Form{Packet, VMware, DigitalOcean},
		func(n *datasource.Network) bool { return len(n.Interfaces) != 0 },
		readList,
	},
}

// Convert turns a network into files. Metadata that has no network in the form makes
// none, which is no error. An error says where it is, by line or JSON path, and what
// would be right.
func Convert(form Form, n *datasource.Network) (Result, error) {
	result := Result{Files: []File{}}
	for _, reader := range readers {
		if !reader.has(n) || form != Auto && !slices.Contains(reader.forms, form) {
			continue
		}
		if result.Form = form; form == Auto {
			result.Form = reader.forms[0]
		}
		var p plan
		err := reader.read(&p, n)
		if err == nil {
			err = p.finish()
		}
		result.Warnings = p.warnings
		if err == nil {
			result.Files = p.files()
		}
		return result, err
	}
	return result, nil
}
