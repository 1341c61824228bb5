// Command coreos-cloudinit applies the cloud-config of a machine.
package main

import "coreos/internal/provision/cli"

func main() { cli.Main() }
