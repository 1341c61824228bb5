package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"coreos/internal/boot/booted"
	"coreos/internal/cli/program"
)

func loaderCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "loader",
		Short: "Show whether the boot loader is that of the running release",
		Args:  program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			loaders, err := m.Loaders()
			for _, l := range loaders {
				state := "of another release"
				if l.Current {
					state = "of the running release"
				}
				fmt.Fprintf(command.OutOrStdout(), "%s  %s\n", l.Firmware, state)
			}
			return err
		},
	}
	command.AddCommand(loaderUpdateCommand())
	return command
}

func loaderUpdateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "update",
		Short: "Install the boot loader of the running release, for BIOS and UEFI",
		Long: "Install the boot loader (GRUB) of the running release on the boot disk, for BIOS and UEFI. The\n" +
			"running slot has to be proven. A power cut leaves the old loader or the new one. If the firmware\n" +
			"does not start the new one, nothing goes back by itself: restart one machine before you do it on\n" +
			"the others.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			m, err := booted.Open()
			if err != nil {
				return err
			}
			return m.UpdateLoaders(func(firmware string) {
				fmt.Fprintf(command.OutOrStdout(), "installed the loader for %s\n", firmware)
			})
		},
	}
}
