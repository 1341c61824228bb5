// Package fsync flushes what was written to the disk.
package fsync

import (
	"errors"
	"os"
)

// Path flushes a file or a directory (fsync(2)). A new name in a directory outlives a power cut once
// the directory was flushed.
func Path(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
