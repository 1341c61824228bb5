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

// Record is the file on ROOT that exists until the first boot is finished. If an operator
// creates it, the machine is provisioned again at its next boot: over the existing files,
// or, if the file contains "clean", on an emptied ROOT.
const Record = ".ignition-unfinished"

// clean in the record says that ROOT was empty when the first boot began. Then the files of
// a failed attempt are removed before the next, since there is nothing else on ROOT.
const clean = "clean\n"

// lostAndFound is the directory in an empty ext4 file system.
const lostAndFound = "lost+found"

// Begin reports whether the first boot of the machine is not finished. root is the root
// file system before anything else is written to it.
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
			return false, nil // the machine was provisioned, or is older than this file
		}
	}
	if err := os.WriteFile(record, []byte(clean), 0o600); err != nil {
		return false, err
	}
	// The record is written before anything else. Otherwise a power cut would end the first
	// boot.
	return true, sync(root)
}

// Finish records that the first boot is finished.
func Finish(root string) error {
	// The provisioned files are flushed first, then the record.
	if err := sync(root); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(root, Record)); err != nil {
		return err
	}
	return sync(root)
}

// sync flushes a file system to its disk.
func sync(root string) error {
	dir, err := os.Open(root)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return unix.Syncfs(int(dir.Fd()))
}

// empty removes everything but the record from a root file system.
func empty(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != Record && name != lostAndFound {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				return fmt.Errorf("remove the files of the failed attempt: %w", err)
			}
		}
	}
	return nil
}
