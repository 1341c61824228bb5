// Command configctl checks and translates configs of machines.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"coreos/internal/provision/butane"
	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/ignition"
)

// errProblems says that a config has errors, which were told.
var errProblems = errors.New("there are errors")

func main() {
	root := &cobra.Command{
		Use:   "configctl",
		Short: "Check and translate configs of machines",
		Long: "A machine takes a #cloud-config or a #! script at every boot, and a config of Ignition\n" +
			"at its first. People write Ignition's as Butane's YAML, which says a variant: fcos or\n" +
			"flatcar.\n\n" +
			"Exit status: 0 when all is well, 1 otherwise.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(validateCommand(), translateCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "configctl:", err)
		os.Exit(1)
	}
}

func validateCommand() *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Tell what is wrong in configs of any format; - is standard input",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, paths []string) error {
			var failed error
			for _, path := range paths {
				text, err := read(path)
				if err != nil {
					return err
				}
				problems, err := validate(text, dir)
				tell(path, problems)
				if err != nil {
					fmt.Fprintf(os.Stderr, "%s: error: %v\n", path, err)
					failed = errProblems
				}
			}
			return failed
		},
	}
	command.Flags().StringVarP(&dir, "files-dir", "d", "", "a Butane config may refer to files below `DIR`")
	return command
}

func translateCommand() *cobra.Command {
	var dir, output string
	command := &cobra.Command{
		Use:   "translate FILE",
		Short: "Make what a machine takes: Butane's becomes Ignition's, the rest stays; - is standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, paths []string) error {
			text, err := read(paths[0])
			if err != nil {
				return err
			}
			config := text
			if isButane(text) {
				var problems []string
				config, problems, err = butane.Translate(text, dir)
				tell(paths[0], problems)
				if err != nil {
					return fmt.Errorf("%s: %w", paths[0], err)
				}
			}
			if output == "" {
				_, err = fmt.Printf("%s\n", config)
				return err
			}
			return renameio.WriteFile(output, config, 0o600)
		},
	}
	command.Flags().StringVarP(&dir, "files-dir", "d", "", "the config may refer to files below `DIR`")
	command.Flags().StringVarP(&output, "output", "o", "", "write `FILE`")
	return command
}

// validate checks a config of any format.
func validate(text []byte, dir string) (problems []string, err error) {
	switch cloudconfig.KindOf(text) {
	case cloudconfig.Script:
		return nil, nil
	case cloudconfig.CloudConfig:
		_, found, err := cloudconfig.Parse(text)
		for _, problem := range found {
			problems = append(problems, problem.String())
			if !problem.Warning {
				err = errProblems
			}
		}
		return problems, err
	}
	if isButane(text) {
		_, problems, err = butane.Translate(text, dir)
		return problems, err
	}
	return ignition.Validate(text)
}

// isButane tells whether a config is YAML of Butane's: no other format.
func isButane(text []byte) bool {
	switch cloudconfig.KindOf(text) {
	case cloudconfig.Script, cloudconfig.CloudConfig:
		return false
	}
	return !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))
}

func tell(path string, problems []string) {
	for _, problem := range problems {
		fmt.Fprintf(os.Stderr, "%s: %s\n", path, problem)
	}
}

// read returns a file, unless it is larger than any config may be.
func read(path string) ([]byte, error) {
	var from io.Reader = os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, ignition.MaxConfig+1))
	if err == nil && len(text) > ignition.MaxConfig {
		err = fmt.Errorf("%s has more than %d bytes", path, ignition.MaxConfig)
	}
	return text, err
}
