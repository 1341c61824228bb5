// Package lockdown separates root from the kernel: it engages the kernel's lockdown
// (kernel_lockdown(7)) and pins what the kernel loads to one file system (LoadPin,
// Documentation/admin-guide/LSM/LoadPin.rst of Linux).
package lockdown

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Levels of the lockdown.
const (
	Integrity       = "integrity"
	Confidentiality = "confidentiality"
)

// Kernel is where the interfaces of the kernel are.
type Kernel struct {
	Security string // securityfs
	Sysctl   string // /proc/sys
	// Load has the kernel read a file as a module. The file need not be one.
	Load func(path string) error
}

// Running is the running kernel.
var Running = Kernel{Security: "/sys/kernel/security", Sysctl: "/proc/sys", Load: load}

// Engage sets the lockdown to "integrity" until the next boot: root cannot change the kernel.
// A stricter level stays.
func (k Kernel) Engage() error {
	path := filepath.Join(k.Security, "lockdown")
	level, err := readLevel(path)
	if err != nil {
		return fmt.Errorf("lockdown: %w", err)
	}
	if level == Integrity || level == Confidentiality {
		return nil
	}
	if err := os.WriteFile(path, []byte(Integrity), 0); err != nil {
		return fmt.Errorf("lockdown: %w", err)
	}
	if level, err = readLevel(path); err != nil || level != Integrity {
		return fmt.Errorf("lockdown: the kernel is at level %q after the change to %q", level, Integrity)
	}
	return nil
}

// readLevel returns the level in brackets: "none [integrity] confidentiality".
func readLevel(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, level, opened := strings.Cut(string(text), "[")
	level, _, closed := strings.Cut(level, "]")
	if !opened || !closed {
		return "", fmt.Errorf("%s: %q has no level in brackets", path, text)
	}
	return level, nil
}

// Pin has the kernel load modules and firmware only from the file system of the file at path
// until the next boot. A kernel without LoadPin does not restrict where they come from:
// Pin returns nil.
func (k Kernel) Pin(path string) error {
	enforce := filepath.Join(k.Sysctl, "kernel/loadpin/enforce")
	if err := os.WriteFile(enforce, []byte("1"), 0); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("pin modules: %w", err)
	}
	loading := k.Load(path)
	// The kernel refuses to switch LoadPin off once a file system on a read-only device is
	// pinned. Otherwise it stays off: the machine would have no drivers.
	if err := os.WriteFile(enforce, []byte("0"), 0); err == nil {
		return errors.Join(fmt.Errorf("pin modules: %s is not on a read-only device, or another file system is pinned; "+
			"signed modules can be loaded from anywhere", path), loading)
	}
	return nil
}

// compressed is MODULE_INIT_COMPRESSED_FILE of linux/module.h.
const compressed = 4

// load has the kernel read a file for a compressed module. Whatever it is not, the kernel
// refuses after LoadPin has seen where it is from, without a message.
func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return unix.FinitModule(int(file.Fd()), "", compressed)
}
