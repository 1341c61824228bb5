// Command releasectl keeps a repository of releases: static files from which machines
// update themselves.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:   "releasectl",
		Short: "Keep a repository of releases from which machines update themselves",
		Long: "A repository is a directory of static files, served by any web server. What it offers\n" +
			"is signed (The Update Framework): by root keys, which say whose signatures count, by\n" +
			"targets keys, which sign releases and channels, and by an online key, which says every\n" +
			"few days that this is the newest state. The first two can be kept offline: changes are\n" +
			"staged, REPOSITORY/staged/ROLE.json is carried to the keys and back, and publish makes\n" +
			"it effective.\n\n" +
			"Exit status: 0 when all went well, 1 otherwise.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(keyCommand(), keysCommand(), rootCommand(), addCommand(), removeCommand(), channelCommand(), renewCommand(),
		signCommand(), publishCommand(), showCommand(), verifyCommand(), bundleCommand(), packCommand())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "releasectl:", err)
		os.Exit(1)
	}
}
