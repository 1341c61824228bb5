// Command multicall is most commands of the machine in one binary: /usr/lib/coreos/multicall,
// to which /usr/bin has a link for each command. docs/commands.md says which commands are in
// it, and why.
package main

import (
	"os"

	"coreos/internal/cli/multicall"
)

// programs has the commands. A file for each Buildroot package adds those of the package,
// unless the build has the tag no_PACKAGE.
var programs = multicall.Programs{}

func main() { os.Exit(multicall.Run(programs, os.Args, os.Stdout, os.Stderr)) }
