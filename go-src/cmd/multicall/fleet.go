//go:build !no_fleet

package main

import (
	"coreos/internal/fleet/cli"
	"coreos/internal/fleet/daemon"
)

func init() {
	programs["fleetctl"] = cli.Main
	programs["fleetd"] = daemon.Main
}
