package sbom

import (
	"os"
	"testing"

	"coreos/internal/cli/program/programtest"
	"coreos/internal/host/treetest"
)

func TestCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	treetest.Write(t, ".", map[string]string{"packages.tsv": "bash\t5.2\tbash\t5.2\n", "bad.tsv": "bash 5.2\n", "script": "#!/bin/sh\n"})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	programtest.Check(t, command, []programtest.Call{
		{"--packages packages.tsv --name X", 0, `"name": "bash"`, ""},
		{"--packages packages.tsv --go " + self, 0, `"name": "stdlib"`, ""},
		{"--packages packages.tsv --go .", 0, `"created": "2023-11-14T22:13:20Z"`, ""},
		{"--packages packages.tsv --go script", 1, "", "sbom: "},
		{"--packages bad.tsv", 1, "", "sbom: bad.tsv: line 1"},
		{"--packages none", 1, "", "none"},
		{"", 2, "", `required flag(s) "packages" not set`},
		{"--packages packages.tsv more", 2, "", `unexpected argument "more"`},
		{"--help", 0, "SPDX 2.3", ""},
	})
}
