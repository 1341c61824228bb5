// Package configctl has the command configctl, which checks and translates configs of
// machines.
package configctl

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/host/bounded"
	"coreos/internal/provision/butane"
	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/ignition"
)

// errProblems says that a config has errors. They have been printed.
var errProblems = errors.New("there are errors")

// Main runs the command as this process.
func Main() { program.Main(root(), os.Args[1:]) }

func root() *cobra.Command {
	command := &cobra.Command{
		Use:   "configctl",
		Short: "Check and translate configs of machines",
		Long: "A machine applies a #cloud-config or a #! script at every boot, and an Ignition config at its\n" +
			"first boot. People write Ignition configs as Butane YAML, whose variant is fcos or flatcar.\n\n" +
			"Exit status: 0 on success, 1 if a config has errors or on another error, 2 for a wrong command\n" +
			"line.",
	}
	command.AddCommand(validateCommand(), translateCommand())
	return command
}

func validateCommand() *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check configs of any format; - is standard input",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, paths []string) error {
			var failed error
			for _, path := range paths {
				text, err := read(command, path)
				if err != nil {
					return err
				}
				problems, err := validate(text, dir)
				tell(command, path, problems)
				if err != nil {
					fmt.Fprintf(command.ErrOrStderr(), "%s: error: %v\n", path, err)
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
		Short: "Translate a Butane config to an Ignition config; copy other formats; - is standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, paths []string) error {
			text, err := read(command, paths[0])
			if err != nil {
				return err
			}
			config := text
			if isButane(text) {
				var problems []string
				config, problems, err = butane.Translate(text, dir)
				if err == nil {
					// Another system may be able to apply what this one cannot.
					problems, _ = butane.Validate(text, dir)
				}
				tell(command, paths[0], problems)
				if err != nil {
					return fmt.Errorf("%s: %w", paths[0], err)
				}
			}
			if output == "" {
				_, err = fmt.Fprintf(command.OutOrStdout(), "%s\n", config)
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
		if cloudconfig.HasWindowsLines(text) {
			problems = append(problems, "line 1: warning: the script has line ends of Windows (CRLF); the machine converts them")
		}
		return problems, nil
	case cloudconfig.CloudConfig:
		text, _ = cloudconfig.Substitute(text, exampleAddresses)
		_, groups, shells := ignition.Image()
		_, found, err := cloudconfig.ParseFor(text, &cloudconfig.Machine{Groups: groups, HasFile: func(path string) bool { return slices.Contains(shells, path) }})
		for _, problem := range found {
			problems = append(problems, problem.String())
			if !problem.Warning {
				err = errProblems
			}
		}
		return problems, err
	}
	if isButane(text) {
		return butane.Validate(text, dir)
	}
	if cloudconfig.KindOf(text) == cloudconfig.Unknown {
		return nil, errors.New(cloudconfig.WhyUnknown(text))
	}
	return ignition.Validate(text)
}

// exampleAddresses stand for the addresses of the machine, so that a value such as
// node-$private_ipv4 is judged as the machine judges it. They are from the ranges for
// documentation (RFC 5737, RFC 3849) and for private use.
var exampleAddresses = map[string]string{
	"private_ipv4": "10.0.0.1", "public_ipv4": "192.0.2.1", "private_ipv6": "fd00::1", "public_ipv6": "2001:db8::1",
}

// isButane reports whether a config is Butane YAML, because it has no other format.
func isButane(text []byte) bool {
	if cloudconfig.KindOf(text) != cloudconfig.Unknown {
		return false
	}
	return cloudconfig.IsButane(text) || cloudconfig.Mistake(text) == ""
}

func tell(command *cobra.Command, path string, problems []string) {
	for _, problem := range problems {
		fmt.Fprintf(command.ErrOrStderr(), "%s: %s\n", path, problem)
	}
}

// read returns the text of a file, or an error if it is larger than a config may be.
func read(command *cobra.Command, path string) ([]byte, error) {
	from := command.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	text, err := bounded.Read(from, ignition.MaxConfig)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}
