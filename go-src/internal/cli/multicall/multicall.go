// Package multicall lets one binary be several commands. A link to the binary has the name
// of a command, and the binary runs the command by whose name it is called.
package multicall

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
)

// Name is the name of the binary itself.
const Name = "multicall"

// Programs has the main function of each command, by the command's name. A main function
// reads its arguments from os.Args.
type Programs map[string]func()

// names returns the names of the commands, separated.
func (p Programs) names(separator string) string {
	return strings.Join(slices.Sorted(maps.Keys(p)), separator)
}

// Run runs the program that args, those of the process, name: in args[0], or in args[1] if
// the binary is called by its own name. It returns the exit status if the program returns,
// or if there is no such program.
func Run(p Programs, args []string, out, err io.Writer) int {
	// A package of etcdctl sets this for all commands when the process starts.
	cobra.EnablePrefixMatching = false
	if len(args) == 0 {
		args = []string{""} // execve allows it
	}
	self := filepath.Base(args[0])
	main, found := p[self]
	if self == Name && len(args) > 1 {
		args = args[1:]
		if args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
			_, _ = fmt.Fprintf(out, help, Name, p.names("\n  "))
			return exit.OK
		}
		main, found = p[filepath.Base(args[0])]
	}
	if !found {
		_, _ = fmt.Fprintf(err, "%s: no command %q in this binary; it has %s\n", self, filepath.Base(args[0]), p.names(", "))
		return exit.Misuse
	}
	os.Args = args
	main()
	return exit.OK
}

const help = `This binary is several commands. It runs the command by whose name it is called. Links in
/usr/bin have the names; another way is %s NAME [ARGUMENT]...:

  %s
`
