//go:build !no_coreos_cloudinit

package main

import (
	"coreos/internal/provision/cli"
)

func init() {
	programs["coreos-cloudinit"] = cli.Main
}
