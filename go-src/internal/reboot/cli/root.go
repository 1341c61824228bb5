package cli

import (
	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/host/logind"
	"coreos/internal/host/privsep"
	"coreos/internal/reboot/hooks"
	"coreos/internal/reboot/locksmith"
	"coreos/internal/update/bus"
)

// copies are those of the keys for etcd. locksmithd.service has the directory.
const copies privsep.Copies = "/run/coreos/locksmithd"

// copyKeysCommand is what root does before the daemon starts.
func (o *options) copyKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "copy-keys",
		Short:  "Copy the files of --etcd-keyfile and the like for the daemon's user (run by locksmithd.service)",
		Args:   program.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			var paths []string
			for _, path := range o.etcd.Files() {
				paths = append(paths, *path)
			}
			return copies.Make(paths...)
		},
	}
}

// privilegedCommand is what root does for the daemon.
func privilegedCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "privileged",
		Short:  "Do for the daemon what only root can: run hooks, restart the machine (run by locksmithd-privileged.socket)",
		Args:   program.NoArgs,
		Hidden: true,
		RunE: func(command *cobra.Command, _ []string) error {
			systemBus, err := bus.Connect()
			if err != nil {
				return err
			}
			defer systemBus.Close()
			p := locksmith.Privileged{Updates: bus.NewClient(systemBus), Login: logind.New(systemBus), Hooks: hooks.Hooks{Dirs: hooks.Dirs}}
			return privsep.Serve(command.Context(), p.Actions())
		},
	}
}
