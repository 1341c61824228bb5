// Package pstore reads the records that a kernel left when it panicked
// (Documentation/admin-guide/pstore-blk.rst and ramoops.rst of Linux).
package pstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Dir is where the kernel shows its records as files.
const Dir = "/sys/fs/pstore"

// maxRecord is the size limit of a record in bytes. The kernel keeps about 10 KiB of its
// log.
const maxRecord = 1 << 20

// Panic returns the message of the newest panic that is recorded below dir, without the
// words "Kernel panic - not syncing". It returns "" if there is none.
func Panic(dir string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "dmesg-*"))
	if err != nil {
		return "", err
	}
	var message string
	var newest time.Time
	var problems error
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		text, err := readPanic(path)
		problems = errors.Join(problems, err)
		if text != "" && !info.ModTime().Before(newest) {
			message, newest = text, info.ModTime()
		}
	}
	if message != "" {
		return message, nil
	}
	return "", problems
}

func readPanic(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := parse(io.LimitReader(file, maxRecord))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// parse finds the message in a record: a line "Panic#1 Part1", then lines of the
// kernel's log such as "<0>[    3.14] Kernel panic - not syncing: MESSAGE".
func parse(r io.Reader) (string, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if _, message, ok := strings.Cut(lines.Text(), "Kernel panic - not syncing: "); ok {
			return strings.TrimSpace(message), nil
		}
	}
	return "", lines.Err()
}
