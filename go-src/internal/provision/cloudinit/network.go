package cloudinit

import (
	"errors"
	"path"
	"slices"
	"strings"

	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/netconf"
)

// networkDir is the directory of the network files from the metadata. They are written at
// every boot, so they need not survive one.
const networkDir = "/run/systemd/network"

// network returns the network from the metadata as units. It leaves out files whose names
// the config uses for its own units.
func (a *Applier) network(configs []cloudconfig.Unit) []cloudconfig.Unit {
	var units []cloudconfig.Unit
	for _, f := range a.Network {
		if !slices.ContainsFunc(configs, func(u cloudconfig.Unit) bool { return u.Name == f.Name }) {
			units = append(units, cloudconfig.Unit{Name: f.Name, Content: f.Content, Runtime: true})
		}
	}
	return units
}

// sweepNetwork removes the files of an earlier network of this boot.
func (a *Applier) sweepNetwork(units []cloudconfig.Unit) error {
	if a.Network == nil {
		return nil
	}
	names, failed := a.Root.names(networkDir)
	for _, name := range names {
		if !strings.HasPrefix(name, netconf.Prefix) || !isNetwork(name) ||
			slices.ContainsFunc(units, func(u cloudconfig.Unit) bool { return u.Name == name }) {
			continue
		}
		at := path.Join(networkDir, name)
		failed = errors.Join(failed, a.note("removed "+at)(a.Root.remove(at)))
	}
	return failed
}
