// Command fleetctl shows and changes what runs on a fleet cluster.
package main

import "coreos/internal/fleet/cli"

func main() { cli.Main() }
