package dynstrip

import (
	"fmt"
	"os"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

// Main runs the command dynstrip.
func Main() {
	var plugins bool
	command := &cobra.Command{
		Use:   "dynstrip FILE...",
		Short: "Remove the dynamic symbols that nobody looks up from the Go programs among some files",
		Long: "A Go program that the system's linker links exports all its symbols. Files that are no\n" +
			"such programs, or load Go plugins, are left as they are.\n\n" +
			"Exit status: 0 when all went well, 1 otherwise.",
		Args:          cobra.MinimumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, path := range args {
				if err := stripFile(path, plugins); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().BoolVar(&plugins, "plugins", false, "also of programs that load Go plugins, which they can no longer do then")
	if err := command.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "dynstrip:", err)
		os.Exit(1)
	}
}

func stripFile(path string, plugins bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a program: %w", err)
	}
	if !Applies(text, plugins) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	removed, err := Strip(text, plugins)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if removed == 0 {
		return nil
	}
	if err := renameio.WriteFile(path, text, info.Mode().Perm(), renameio.WithExistingPermissions()); err != nil {
		return fmt.Errorf("write a program: %w", err)
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}
