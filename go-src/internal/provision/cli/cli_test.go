package cli

import (
	"bytes"
	"log"
	"os"
	"testing"

	"coreos/internal/cli/program/programtest"
	"coreos/internal/host/treetest"
)

func TestCommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	programtest.Check(t, command, []programtest.Call{
		{"-help", 0, "3 if this machine has\nnone of the sources", ""},
		{"", 2, "", "coreos-cloudinit: name at least one source, such as -from-file FILE"},
		{"-nonsense", 2, "", "coreos-cloudinit: unknown flag: --nonsense"},
		{"-from-file x y", 2, "", `unexpected argument "y"`},
		{"-oem nowhere", 2, "", `unknown OEM "nowhere": want auto, azure, `},
		{"-from-file x -convert-netconf netplan", 2, "", "-convert-netconf: "},
		{"config-drive status", 0, "nothing is remembered", ""},
		{"config-drive check", 2, "", "accepts 1 arg"},
		{"config-drive check loop7", 1, "", "loop7 has the label of a config drive, and is not used: it cannot be a config drive"},
		{"completion bash", 0, "bash completion", ""},
	})
}

// TestSources reads files, checks them and applies nothing.
func TestSources(t *testing.T) {
	t.Chdir(t.TempDir())
	treetest.Write(t, ".", map[string]string{
		"good": "#cloud-config\nhostname: a\n", "bad": "#cloud-config\nhostname: [a]\n", "script": "#!/bin/sh\n", "empty": "",
		"groups":   "#cloud-config\nusers: [{name: a, groups: [root, wizards]}]\n",
		"ignition": `{"ignition":{"version":"3.4.0"}}`, "other": "hello\n",
	})
	defer log.SetOutput(os.Stderr)
	log.SetOutput(new(bytes.Buffer))
	programtest.Check(t, command, []programtest.Call{
		{"-validate -from-file good", 0, "", ""},
		{"-validate -from-file bad", 1, "", "hostname"},
		{"-validate -from-file groups", 0, "", `there is no group "wizards"; it is left out`},
		{"-kind -from-file good", 0, "cloud-config\n", ""},
		{"-kind -from-file script", 0, "script\n", ""},
		{"-kind -from-file empty", 0, "empty\n", ""},
		{"-kind -from-file ignition", 0, "ignition\n", ""},
		{"-kind -from-file other", 0, "unknown\n", ""},
		{"-kind -from-file none", 3, "coreos-cloudinit: no configuration", "no configuration here"},
		{"-validate -from-file none", 3, "coreos-cloudinit: no configuration", ""}, // not for the console
	})
}
