// Command bootkey signs what GRUB verifies. It runs on the build host.
package main

import "coreos/internal/boot/bootkey"

func main() { bootkey.Main() }
