package initramfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	kmsg, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kmsg.Close() }()
	c := &console{kmsg}
	c.Error("no disk %s", "vda")
	c.Warning("%d%%", 50)
	c.Notice("%s", strings.Repeat("x", 5000))
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "<3>bootengine: no disk vda\n<4>bootengine: 50%\n<5>bootengine: " + strings.Repeat("x", maxMessage) + " …\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for line := range strings.Lines(string(got)) {
		if len(line) > 1000 {
			t.Errorf("the kernel refuses a record of %d bytes", len(line))
		}
	}
}
