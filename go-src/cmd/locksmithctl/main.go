// Command locksmithctl shows and changes the lock by which the machines of a group restart
// one after the other. Called locksmithd, it is the daemon that restarts its machine.
package main

import "coreos/internal/reboot/cli"

func main() { cli.Main() }
