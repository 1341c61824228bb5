// Command slotctl shows and chooses the slot that boots.
package main

import "coreos/internal/boot/cli"

func main() { cli.Main() }
