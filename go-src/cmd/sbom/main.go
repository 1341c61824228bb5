// Command sbom prints the bill of materials of an image. It runs on the build host.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coreos/internal/build/sbom"
	"coreos/internal/build/sourcedate"
)

type options struct {
	name, packages string
	binaries       []string
}

func main() {
	var o options
	command := &cobra.Command{
		Use:   "sbom --name NAME --packages FILE [--go PATH]...",
		Short: "Print the SPDX document of an image",
		Long: "Print the SPDX 2.3 document (JSON) of an image: the packages of its base and the Go\n" +
			"modules in our binaries. SOURCE_DATE_EPOCH, if set, is the time that it carries.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(*cobra.Command, []string) error { return run(o) },
	}
	command.Flags().StringVar(&o.name, "name", "CoreOS", "name of the image")
	command.Flags().StringVar(&o.packages, "packages", "", "the base's packages.tsv")
	command.Flags().StringArrayVar(&o.binaries, "go", nil, "Go binary, or directory with such; may be repeated")
	if err := command.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	when, err := sourcedate.Now()
	if err != nil {
		return err
	}
	file, err := os.Open(o.packages)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	components, err := sbom.ReadPackages(file)
	if err != nil {
		return fmt.Errorf("%s: %w", o.packages, err)
	}
	for _, path := range o.binaries {
		modules, err := sbom.ReadGo(path)
		if err != nil {
			return err
		}
		components = append(components, modules...)
	}
	return sbom.Write(os.Stdout, o.name, when, components)
}
