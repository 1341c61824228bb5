package hostid

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMachine(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	for text, want := range map[string]string{
		id:                                     id,
		id + "\n":                              id,
		"":                                     "",
		"uninitialized\n":                      "",
		id + "0\n":                             "",
		"0123456789ABCDEF0123456789ABCDEF":     "",
		"01234567-89ab-cdef-0123-456789abcdef": "",
	} {
		file := filepath.Join(t.TempDir(), "machine-id")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := machine(file)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := machine(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestBoot(t *testing.T) {
	if id, err := Boot(); err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
}
