package firstboot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Record is the file on ROOT that is there until the first boot is finished. An operator
// who makes it has the machine provisioned again at its next boot: on top of what is
// there, or, if the file says "clean", on an emptied ROOT.
const Record = ".ignition-unfinished"

// clean in the record says that ROOT was empty when the first boot began. Whatever an
// attempt that failed left there is removed before the next: nobody can miss it.
const clean = "clean\n"

// lostAndFound is what an empty ext4 file system has.
const lostAndFound = "lost+found"

// Begin tells whether the first boot of the machine is not finished. root is the root
// file system as mounted, before anything is laid out on it.
func Begin(root string) (bool, error) {
	record := filepath.Join(root, Record)
	text, err := os.ReadFile(record)
	switch {
	case err == nil && strings.TrimSpace(string(text)) == strings.TrimSpace(clean):
		return true, empty(root)
	case err == nil:
		return true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		if entry.Name() != lostAndFound {
			return false, nil // a machine that was provisioned, or is older than this
		}
	}
	if err := os.WriteFile(record, []byte(clean), 0o600); err != nil {
		return false, err
	}
	// Before anything else is on ROOT, or a power cut would end the first boot.
	return true, sync(root)
}

// Finish records that the first boot is over.
func Finish(root string) error {
	// What was provisioned first, then the record of it.
	if err := sync(root); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(root, Record)); err != nil {
		return err
	}
	return sync(root)
}

// sync writes a file system to its disk.
func sync(root string) error {
	dir, err := os.Open(root)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return unix.Syncfs(int(dir.Fd()))
}

// empty removes all but the record from a root file system.
func empty(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != Record && name != lostAndFound {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				return fmt.Errorf("remove what the attempt before left: %w", err)
			}
		}
	}
	return nil
}
