package daemon

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"coreos/internal/boot/booted"
	"coreos/internal/cli/program"
	"coreos/internal/host/privsep"
	"coreos/internal/update/config"
	"coreos/internal/update/machine"
)

// copies has that of the machine's configuration, which may have passwords in it.
// update-engine.service has the directory.
const copies privsep.Copies = "/run/coreos/update-engine"

// copyConfigCommand is what root does before the daemon starts.
func copyConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "copy-config",
		Short:  "Copy /etc/coreos/update.conf for the daemon's user (run by update-engine.service)",
		Args:   program.NoArgs,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return copies.Make(filepath.Join("/", config.Own)) },
	}
}

// privilegedCommand is what root does for the daemon.
func privilegedCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "privileged",
		Short:  "Do for the daemon what only root can, with the slots (run by update-engine-privileged.socket)",
		Args:   program.NoArgs,
		Hidden: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return privsep.Serve(command.Context(), machine.Actions(func() (machine.Slots, error) { return booted.Open() }))
		},
	}
}
