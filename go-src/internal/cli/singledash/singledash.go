// Package singledash lets commands be called as their originals were, whose long flags
// have one dash.
package singledash

import (
	"slices"
	"strings"
)

// Args takes -status for --status. Flags of one letter stay, and so does what follows "--".
func Args(args []string) []string {
	long := slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if len(arg) > 2 && strings.HasPrefix(arg, "-") && arg[1] != '-' {
			long[i] = "-" + arg
		}
	}
	return long
}
