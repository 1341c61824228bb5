package dynstrip

import (
	"fmt"
	"os"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
)

// Main runs the command dynstrip as this process.
func Main() { program.Main(command(), os.Args[1:]) }

func command() *cobra.Command {
	return &cobra.Command{
		Use:   "dynstrip FILE...",
		Short: "Remove the dynamic symbols that nobody looks up from the Go programs among some files",
		Long: "A Go program that the system's linker links exports all its symbols. Files that are no\n" +
			"such programs, or load Go plugins, are left as they are.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			for _, path := range args {
				if err := command.Context().Err(); err != nil {
					return err
				}
				if err := stripFile(path); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func stripFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a program: %w", err)
	}
	if !Applies(text) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	removed, err := Strip(text)
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
