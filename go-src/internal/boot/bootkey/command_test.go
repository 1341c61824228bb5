package bootkey

import (
	"os"
	"path/filepath"
	"testing"

	"coreos/internal/cli/program/programtest"
	"coreos/internal/host/treetest"
)

func TestCommand(t *testing.T) {
	dir, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	treetest.Write(t, ".", map[string]string{"kernel": "kernel", "cmdline": "root="})
	public := filepath.Join(dir, "boot.pub")
	programtest.Check(t, command, []programtest.Call{
		{"sign --key " + dir + " kernel cmdline", 0, "", ""},
		{"verify --pubkey " + public + " kernel cmdline", 0, "", ""},
		{"sign --key none kernel", 1, "", "bootkey: "},
		{"sign --key " + dir + " none", 1, "", "bootkey: "},
		{"verify --pubkey " + public + " none", 1, "", "bootkey: "},
		{"generate " + dir, 1, "", "bootkey: "}, // it is there
		{"sign kernel", 2, "", `required flag(s) "key" not set`},
		{"verify kernel", 2, "", `required flag(s) "pubkey" not set`},
		{"sign --key " + dir, 2, "", "requires at least 1 arg(s)"},
		{"generate", 2, "", "accepts 1 arg(s), received 0"},
		{"--help", 0, "2 for a wrong command line", ""},
	})
	if err := os.WriteFile("kernel", []byte("Kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	programtest.Check(t, command, []programtest.Call{{"verify --pubkey " + public + " cmdline kernel", 1, "", "kernel"}})
	t.Setenv("SOURCE_DATE_EPOCH", "never")
	programtest.Check(t, command, []programtest.Call{{"sign --key " + dir + " kernel", 1, "", "SOURCE_DATE_EPOCH"}})
}
