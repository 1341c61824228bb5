package sbom

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"coreos/internal/build/sourcedate"
	"coreos/internal/cli/program"
)

// Main runs the command sbom as this process.
func Main() { program.Main(command(), os.Args[1:]) }

type options struct {
	name, packages string
	binaries       []string
}

func command() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "sbom --name NAME --packages FILE [--go PATH]...",
		Short: "Print the SPDX document of an image",
		Long: "Print the SPDX 2.3 document (JSON) of an image: the packages of its base and the Go\n" +
			"modules in our binaries. The document carries the time SOURCE_DATE_EPOCH if it is set.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return run(o, command.OutOrStdout()) },
	}
	command.Flags().StringVar(&o.name, "name", "CoreOS", "`NAME` of the image")
	command.Flags().StringVar(&o.packages, "packages", "", "the base's packages.tsv")
	command.Flags().StringArrayVar(&o.binaries, "go", nil, "`PATH` of a Go binary or of a directory with Go binaries; may be repeated")
	_ = command.MarkFlagRequired("packages")
	return command
}

func run(o options, out io.Writer) error {
	when, err := sourcedate.Now()
	if err != nil {
		return err
	}
	file, err := os.Open(o.packages)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	components, err := ReadPackages(file)
	if err != nil {
		return fmt.Errorf("%s: %w", o.packages, err)
	}
	for _, path := range o.binaries {
		modules, err := ReadGo(path)
		if err != nil {
			return err
		}
		components = append(components, modules...)
	}
	return Write(out, o.name, when, components)
}
