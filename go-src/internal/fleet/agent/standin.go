package agent

import (
	"strings"

	"coreos/internal/fleet/unitfile"
)

// systemd starts a unit with Requires= or BindsTo= only if it knows the other unit. If another
// machine of the cluster has that unit, the agent installs a stand-in of the same name.

const standInText = `[Unit]
Description=Stands in for a unit of the cluster that another machine has

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
`

var standIn, standInHash = func() (*unitfile.File, string) {
	file, err := unitfile.Parse(standInText)
	if err != nil {
		panic(err)
	}
	return file, file.Hash().String()
}()

// StandIn returns the text of the file of a stand-in.
func StandIn() string { return standIn.String() }

// wantsStandIn reports whether this machine has to have a stand-in for a unit.
func (a *Agent) wantsStandIn(name string) bool {
	p, u := a.peer(name), a.units[name]
	switch {
	case !canStandIn(name) || !a.isRequired(name):
		return false
	case p == nil || p.known < jobRead:
		return u != nil && u.isStandIn() // one of an earlier run stays until the job is read
	}
	return p.inCluster()
}

// canStandIn reports whether a stand-in can have the name: it is a service.
func canStandIn(name string) bool { return strings.HasSuffix(name, ".service") }

// isRequired reports whether a unit of this machine cannot run without another unit.
func (a *Agent) isRequired(name string) bool {
	for other := range a.dependents[name] {
		if u := a.units[other]; u != nil && u.needs.DependsOn(name) {
			return true
		}
	}
	return false
}
