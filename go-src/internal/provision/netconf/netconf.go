// Package netconf converts the network in a platform's metadata into files of
// systemd-networkd. It reads three forms:
//
//   - a Debian interfaces(5) file, which config drives have: see the manual pages of
//     ifupdown, and of the packages vlan and ifenslave for VLANs and bonds;
//   - OpenStack's network_data.json, as nova's doc/api_schemas/network_data.json
//     describes it, with the options of bonds as cloud-init reads them;
//   - the list of interfaces of DigitalOcean, Packet and VMware, in the form of package
//     datasource.
//
// All forms are converted to one model, which is checked as a whole and then written as
// systemd.network(5) and systemd.netdev(5) files. Only short words are copied from the
// metadata to a file: addresses, numbers and names are parsed and formatted again.
package netconf

import (
	"fmt"
	"slices"
	"strings"

	"coreos/internal/provision/datasource"
)

// Prefix is the prefix of the names of all files. systemd-networkd sorts the files of all
// directories by name, and the first that matches an interface counts. These sort after the
// files of operators and before zz-default.network, which matches all other interfaces.
const Prefix = "zz-cloudinit-"

// File is a file for a directory of systemd-networkd, such as /run/systemd/network.
type File struct{ Name, Content string }

// Result is a converted network.
type Result struct {
	// Form is the form that was read; empty if the metadata does not have the wanted one.
	Form Form
	// Files are in the order of the metadata; those of interfaces to create are first.
	Files []File
	// Warnings name the settings without an effect.
	Warnings []string
}

// Form is a form of a network in metadata.
type Form string

// The forms. Auto is the first of OpenStack, Debian, and a list that exists. DigitalOcean,
// Packet and VMware all stand for the list.
const (
	Auto         Form = "auto"
	Debian       Form = "debian"
	OpenStack    Form = "openstack"
	Packet       Form = "packet"
	VMware       Form = "vmware"
	DigitalOcean Form = "digitalocean"
)

var forms = []Form{Auto, Debian, DigitalOcean, OpenStack, Packet, VMware}

// Names returns the names of all forms, for messages.
func Names() string {
	names := make([]string, len(forms))
	for i, form := range forms {
		names[i] = string(form)
	}
	return strings.Join(names, ", ")
}

// ParseForm returns the form with a name.
func ParseForm(name string) (Form, error) {
	if !slices.Contains(forms, Form(name)) {
		return "", fmt.Errorf("unknown form %.80q of a network: want one of %s", name, Names())
	}
	return Form(name), nil
}

// readers read the forms, in the order of their priority.
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

// Convert converts a network into files. If the metadata has no network of the form, the
// result is empty, and there is an error only if the metadata has one that could not be read. An
// error has the position, as a line or a JSON path, and what is wanted.
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
	return result, n.Problem
}
