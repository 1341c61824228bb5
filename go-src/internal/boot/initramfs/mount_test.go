package initramfs

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMountNamesWhatFailed(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a/b")
	err := mountAllOf([]mount{{"source", target, "no-such-type", 0, ""}})
	if err == nil || !strings.HasPrefix(err.Error(), "mount source on "+target+": ") {
		t.Errorf("got error %v", err)
	}
}
