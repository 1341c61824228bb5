package repository

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := GenerateKey(path); err != nil {
		t.Fatal(err)
	}
	if err := GenerateKey(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
	if _, err := ReadKey(path + ".pub"); err == nil {
		t.Error("a public key was read as a private one")
	}
	if _, err := ReadPublicKey(path); err == nil {
		t.Error("a private key was read as a public one")
	}
}
