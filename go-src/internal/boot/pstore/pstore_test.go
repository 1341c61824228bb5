package pstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const panicRecord = `Panic#2 Part1
<6>[    4.104455] device-mapper: verity: sha256 using "sha256-ni"
<3>[    6.120331] device-mapper: verity: 253:0: data block 4711 is corrupted
<0>[    6.120967] Kernel panic - not syncing: dm-verity device corrupted
<4>[    6.121422] CPU: 1 UID: 0 PID: 97 Comm: kworker/1:2
`

// records writes files, each a second newer than the one before.
func records(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	start := time.Unix(1700000000, 0)
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		at := start.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPanic(t *testing.T) {
	other := "Panic#1 Part1\n<0>[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n"
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"none", nil, ""},
		{"one", []string{"dmesg-ramoops-0", panicRecord}, "dm-verity device corrupted"},
		{"the newest", []string{"dmesg-ramoops-1", other, "dmesg-ramoops-0", panicRecord}, "dm-verity device corrupted"},
		{"the newest again", []string{"dmesg-ramoops-0", panicRecord, "dmesg-ramoops-1", other}, "VFS: Unable to mount root fs"},
		{"an oops alone", []string{"dmesg-efi_pstore-1", "Oops#1 Part1\n<1>[ 2.0] BUG: kernel NULL pointer dereference\n"}, ""},
		{"not a log", []string{"console-ramoops-0", panicRecord}, ""},
		{"one of them damaged", []string{"dmesg-ramoops-0", panicRecord, "dmesg-ramoops-1", strings.Repeat("\x00", maxRecord+1)}, "dm-verity device corrupted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Panic(records(t, test.files...))
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	if _, err := Panic(records(t, "dmesg-ramoops-0", strings.Repeat("x", maxRecord+1))); err == nil {
		t.Error("a damaged record alone is no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(panicRecord)
	f.Add("Panic#1 Part1\nKernel panic - not syncing: ")
	f.Fuzz(func(t *testing.T, record string) {
		message, err := parse(strings.NewReader(record))
		if err == nil && (strings.Contains(message, "\n") || !strings.Contains(record, message)) {
			t.Errorf("message %q of %q", message, record)
		}
	})
}
