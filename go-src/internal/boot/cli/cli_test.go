package cli

import (
	"testing"

	"coreos/internal/cli/program/programtest"
)

func TestCommandLine(t *testing.T) {
	programtest.Check(t, root, []programtest.Call{
		{"", 0, "Available Commands", ""},
		{"--help", 0, "Exit status: 0 on success, 1 on an error, 2 for a wrong command line.", ""},
		{"help check", 0, "COREOS_SLOT_TRIAL=1", ""},
		{"statsu", 2, "", `slotctl: unknown command "statsu"; did you mean status?`},
		{"status A", 2, "", `unexpected argument "A": slotctl status takes none`},
		{"next", 2, "", "accepts 1 arg(s), received 0"},
		{"next A B", 2, "", "accepts 1 arg(s), received 2"},
		{"next C", 2, "", `"C"`},
		{"good C", 2, "", `"C"`},
		{"bad C --why x", 2, "", `"C"`},
		{"next A --why x", 2, "", "unknown flag: --why"},
		{"check --timeout never", 2, "", "invalid argument"},
		{"loader A", 2, "", `unexpected argument "A"`},
		{"loader update A", 2, "", `unexpected argument "A"`},
		{"deadline now", 2, "", "unexpected argument"},
		{"completion zsh", 0, "#compdef slotctl", ""},
	})
}

// TestNotBooted runs on a machine that did not boot from a slot.
func TestNotBooted(t *testing.T) {
	programtest.Check(t, root, []programtest.Call{
		{"status", 1, "", "slotctl: "},
		{"status --json", 1, "", "slotctl: "},
		{"next A", 1, "", "slotctl: "},
		{"check", 1, "", "slotctl: "},
		{"loader", 1, "", "slotctl: "},
		{"loader update", 1, "", "slotctl: "},
	})
}

func TestHiddenCommand(t *testing.T) {
	for _, command := range root().Commands() {
		if want := command.Name() == "deadline"; command.Hidden != want {
			t.Errorf("%s: hidden %t", command.Name(), command.Hidden)
		}
	}
}
