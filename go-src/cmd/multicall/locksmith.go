//go:build !no_locksmith

package main

import (
	"coreos/internal/reboot/cli"
)

func init() {
	programs["locksmithctl"] = cli.Main
	programs["locksmithd"] = cli.Main
}
