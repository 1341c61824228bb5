package pemfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/host/treetest"
)

const key = "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n"

func TestRead(t *testing.T) {
	dir := treetest.Dir(t, map[string]string{
		"key": "a comment\n" + key, "empty": "", "text": "AQID\n", "cut": key[:40], "large": strings.Repeat(key, MaxFile/len(key)+1),
	})
	if got, err := Read(filepath.Join(dir, "key"), "PUBLIC KEY"); err != nil || string(got) != "\x01\x02\x03" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Read(filepath.Join(dir, "key"), "CERTIFICATE"); err == nil || !strings.Contains(err.Error(), "no PEM text with a CERTIFICATE") {
		t.Errorf("a key as a certificate: %v", err)
	}
	for _, name := range []string{"empty", "text", "cut", "large", "none"} {
		path := filepath.Join(dir, name)
		if got, err := Read(path, "PUBLIC KEY"); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), "PUBLIC KEY"); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}
