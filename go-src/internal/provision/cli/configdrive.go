package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/provision/configdrive"
)

func configDriveCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "config-drive",
		Short: "Say which volume may be the config drive of this machine",
		Long: "A volume with the label config-2 is the config drive of this machine if it is there at the first\n" +
			"boot. Later only the same drive is, with the same instance id. docs/security.md says more.",
	}
	command.AddCommand(driveStatus(), driveForget(), driveCheck(), driveSeal())
	return command
}

func driveStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show which config drive this machine remembers",
		Args:  program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			record, err := configdrive.Read(configdrive.File)
			if err != nil {
				return err
			}
			if record == nil {
				fmt.Fprintln(command.OutOrStdout(), "nothing is remembered: a config drive may become that of this machine")
				return nil
			}
			fmt.Fprintln(command.OutOrStdout(), record)
			return nil
		},
	}
}

func driveForget() *cobra.Command {
	return &cobra.Command{
		Use:   "forget",
		Short: "Forget it: the drive that is there at the next boot is the config drive",
		Args:  program.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := os.Remove(configdrive.File); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
}

func driveCheck() *cobra.Command {
	return &cobra.Command{
		Use:    "check DEVICE",
		Short:  "Exit with 0 if DEVICE, such as vdb, may be the config drive (run by udev)",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(command *cobra.Command, args []string) error {
			// udev hands over the properties of the device as the environment.
			err := configdrive.New().Check(args[0], os.Getenv)
			if err == nil {
				return nil
			}
			// udev drops what its programs say.
			message := fmt.Sprintf("%s has the label of a config drive, and is not used: %v", args[0], err)
			_ = journal.Send(message, journal.PriNotice, map[string]string{"SYSLOG_IDENTIFIER": "coreos-cloudinit"})
			fmt.Fprintln(command.ErrOrStderr(), message)
			return exit.Status(exit.Failure)
		},
	}
}

func driveSeal() *cobra.Command {
	return &cobra.Command{
		Use:    "seal",
		Short:  "Remember the config drive, or that there is none (run by config-drive-seal.service)",
		Args:   program.NoArgs,
		Hidden: true,
		RunE: func(command *cobra.Command, _ []string) error {
			record, err := configdrive.New().Seal(configdrive.Link)
			if err == nil {
				fmt.Fprintln(command.OutOrStdout(), record)
			}
			return err
		},
	}
}
