package daemon

import (
	"testing"

	"coreos/internal/cli/program/programtest"
)

func TestCommandLine(t *testing.T) {
	programtest.Check(t, command, []programtest.Call{
		{"--help", 0, "--state-dir DIRECTORY", ""},
		{"start", 2, "", `update-engine: unexpected argument "start"`},
		{"--nonsense", 2, "", "unknown flag"},
		{"--state-dir /none", 1, "", "update-engine: "}, // this machine was not booted from a slot
	})
}
