//go:build !no_update_engine

package main

import (
	"coreos/internal/update/cli"
	"coreos/internal/update/daemon"
)

func init() {
	programs["update-engine"] = daemon.Main
	programs["update_engine_client"] = cli.Main
}
