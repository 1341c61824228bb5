// Command fleetd is the daemon that makes its machine part of a fleet cluster.
package main

import "coreos/internal/fleet/daemon"

func main() { daemon.Main() }
