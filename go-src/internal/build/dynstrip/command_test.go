package dynstrip

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"coreos/internal/cli/program/programtest"
)

func TestCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	programs := map[string][]byte{"program": build(t, "pie", source), "loader": build(t, "pie", plugins), "script": []byte("#!/bin/sh\n")}
	old := time.Unix(1_700_000_000, 0)
	for name, text := range programs {
		if err := os.WriteFile(name, text, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(name string) bool {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o750 || !info.ModTime().Equal(old) {
			t.Errorf("%s: mode %v, time %v, %v", name, info.Mode(), info.ModTime(), err)
		}
		return string(text) != string(programs[name])
	}
	programtest.Check(t, command, []programtest.Call{
		{"--help", 0, "Exit status: 0", ""},
		{"", 2, "", "requires at least 1 arg(s)"},
		{"--plugin x", 2, "", "dynstrip: unknown flag: --plugin"},
		{"nowhere", 1, "", "dynstrip: read a program: open nowhere"},
		{"script loader program", 0, "", ""},
	})
	if changed("script") || changed("loader") || !changed("program") {
		t.Errorf("changed: script %t, loader %t, program %t", changed("script"), changed("loader"), changed("program"))
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) != len(programs) {
		t.Errorf("files %q, %v", left, err)
	}
}
