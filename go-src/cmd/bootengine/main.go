// Command bootengine is /init of the initramfs.
package main

import (
	"fmt"
	"os"

	"coreos/internal/boot/initramfs"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "bootengine is the initramfs's /init; it does nothing in a running system")
		os.Exit(2)
	}
	initramfs.Run()
}
