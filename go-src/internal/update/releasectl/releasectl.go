// Package releasectl has the command releasectl, which keeps a repository of releases:
// static files from which machines update themselves.
package releasectl

import (
	"os"

	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
)

// Main runs the command as this process.
func Main() { program.Main(root(), os.Args[1:]) }

func root() *cobra.Command {
	command := &cobra.Command{
		Use:   "releasectl",
		Short: "Keep a repository of releases from which machines update themselves",
		Long: "A repository is a directory of static files, served by any web server. What it offers\n" +
			"is signed as The Update Framework says: root keys say whose signatures count, targets keys\n" +
			"sign releases and channels, and every few days an online key signs that this is the newest\n" +
			"state. Root and targets keys can be kept offline: stage a change, carry\n" +
			"REPOSITORY/staged/ROLE.json to the keys and back, and publish it.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line.",
	}
	command.AddCommand(keyCommand(), keysCommand(), rootCommand(), addCommand(), removeCommand(), channelCommand(), renewCommand(),
		signCommand(), publishCommand(), showCommand(), verifyCommand(), bundleCommand(), packCommand())
	return command
}
