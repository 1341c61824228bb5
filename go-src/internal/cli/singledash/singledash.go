// Package singledash lets commands be called as their originals were, whose long flags
// have one dash.
package singledash

import "strings"

// Args takes -status for --status. Flags of one letter stay.
func Args(args []string) []string {
	long := make([]string, len(args))
	for i, arg := range args {
		if len(arg) > 2 && strings.HasPrefix(arg, "-") && arg[1] != '-' {
			arg = "-" + arg
		}
		long[i] = arg
	}
	return long
}
