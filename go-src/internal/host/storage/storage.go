// Package storage tells whether the file systems that the system itself writes to can be written
// and have room.
package storage

import (
	"fmt"
	"strings"
)

// Kind is a kind of problem.
type Kind string

// The kinds of problems, the worst first.
const (
	ReadOnly Kind = "read-only" // nothing can be written
	Full     Kind = "full"      // programs fail to write
	Damaged  Kind = "damaged"   // the kernel has found errors
	Low      Kind = "low"       // full soon
)

// Problem is what is wrong with a file system.
type Problem struct {
	Kind  Kind
	Where string // its mount point
	Text  string // what is wrong, and what to do: one line
}

func (p Problem) String() string { return p.Where + " is " + p.Text }

// Bounds below which a file system is full or low.
const (
	fullBytes  = 16 << 20
	fullInodes = 64
	lowBytes   = 1 << 30 // and less than one part in lowShare
	lowShare   = 20
)

// Problems returns what is wrong with a file system.
func (v Volume) Problems() []Problem {
	var found []Problem
	add := func(kind Kind, format string, args ...any) {
		found = append(found, Problem{kind, v.Where, fmt.Sprintf(format, args...)})
	}
	switch {
	case v.ReadOnly && v.Where == "/etc" && v.overlay():
		add(ReadOnly, "read-only: no change there can be saved. It becomes so if the machine starts with a full or damaged disk: mend that, then restart")
	case v.ReadOnly:
		add(ReadOnly, "read-only: nothing there can be saved. journalctl -k says why; if the disk is in order, a restart checks and repairs the file system")
	}
	if v.Errors > 0 {
		add(Damaged, "damaged: the kernel has found %d errors. Save what matters, then restart: that checks and repairs the file system", v.Errors)
	}
	switch room := "Make room: docker system prune, journalctl --vacuum-size=100M, du -xhd2 " + v.Where; {
	case v.overlay() || v.ReadOnly:
	case v.Free < fullBytes:
		add(Full, "full: %d of %d MiB are left. %s", v.Free>>20, v.Size>>20, room)
	case v.Inodes > 0 && v.FreeInodes < fullInodes:
		add(Full, "full: it has no inodes left for new files, of %d. Remove files: du --inodes -xd2 %s", v.Inodes, v.Where)
	case v.Free < lowBytes && v.Free < v.Size/lowShare:
		add(Low, "almost full: %d of %d MiB are left. %s", v.Free>>20, v.Size>>20, room)
	}
	return found
}

// Text returns a line for each problem.
func Text(problems []Problem) string {
	var out strings.Builder
	for _, p := range problems {
		fmt.Fprintln(&out, p)
	}
	return out.String()
}
