package grubenv

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/boot/grubenv/grubenvtest"
)

func TestDevice(t *testing.T) {
	path := grubenvtest.File(t, block("ORDER=A B\n"))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	device, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	env, err := device.Read()
	if err != nil {
		t.Fatal(err)
	}
	if env["ORDER"] != "A B" {
		t.Errorf("read %q", env)
	}
	env["ORDER"] = "B A"
	if err := errors.Join(device.Write(env), device.Close()); err != nil {
		t.Fatal(err)
	}

	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const at = grubenvtest.GrubenvOffset
	if got, want := after[at:at+Size], block("ORDER=B A\n"); !bytes.Equal(got, want) {
		t.Errorf("wrote %q, want %q", got, want)
	}
	copy(after[at:at+Size], before[at:])
	if !bytes.Equal(before, after) {
		t.Error("something outside the environment block was changed")
	}
}

func TestDeviceRefusesWhatDoesNotFit(t *testing.T) {
	path := grubenvtest.File(t, block("ORDER=A B\n"))
	device, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	if err := device.Write(Env{"a": strings.Repeat("x", sector)}); !errors.Is(err, ErrFull) {
		t.Errorf("got error %v, want %v", err, ErrFull)
	}
	if env, err := device.Read(); err != nil || env["ORDER"] != "A B" {
		t.Errorf("the old state is gone: %q, %v", env, err)
	}
}

func TestDestroyedBlock(t *testing.T) {
	device, err := Open(grubenvtest.File(t, make([]byte, Size)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	if _, err := device.Read(); !errors.Is(err, ErrFormat) {
		t.Errorf("got error %v, want %v", err, ErrFormat)
	}
}

func TestOpenNamesThePartition(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "vda1")
	if _, err := Open(missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "vda1")
	if err := os.WriteFile(empty, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(empty); err == nil || !strings.Contains(err.Error(), empty) {
		t.Errorf("not a FAT32 volume: %v", err)
	}
}
