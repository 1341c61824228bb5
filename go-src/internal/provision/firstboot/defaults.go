package firstboot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// slotEtc has the slot's defaults, over which the machine's /etc is mounted.
const slotEtc = "/usr/share/coreos/etc"

// config has the parts of a config that need something that Ignition does not do.
type config struct {
	KernelArguments struct{ ShouldExist, ShouldNotExist []string }
	Passwd          struct{ Users, Groups []name }
	Storage         struct {
		Files []struct {
			node
			Contents struct{ Source *string }
		}
		Links []node
	}
}

type name struct {
	Name        string
	ShouldExist *bool
}

func (n name) isRemoved() bool { return n.ShouldExist != nil && !*n.ShouldExist }

type node struct {
	Path      string
	Overwrite *bool
}

func readConfig(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &c, nil
}

// databases are the files of /etc that the programs of shadow-utils change.
var databases = []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}

// written returns the paths of files and links that Ignition makes and does not overwrite.
func (c *config) written() []string {
	var paths []string
	for _, file := range c.Storage.Files {
		if file.Contents.Source != nil && (file.Overwrite == nil || !*file.Overwrite) {
			paths = append(paths, file.Path)
		}
	}
	for _, link := range c.Storage.Links {
		if link.Overwrite == nil || !*link.Overwrite {
			paths = append(paths, link.Path)
		}
	}
	return paths
}

// yield removes the slot's defaults in /etc that the config has its own of. Ignition would take
// them for files of the machine, and refuse to replace them. What the machine has changed stays.
func (f *FirstBoot) yield(c *config, root string) error {
	for _, path := range c.written() {
		below, ok := strings.CutPrefix(filepath.Clean(path), "/etc/")
		if !ok || slices.Contains(databases, filepath.Clean(path)) {
			continue
		}
		at := filepath.Join(root, "etc", below)
		same, err := sameFile(at, filepath.Join(root, slotEtc, below))
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		if err := os.Remove(at); err != nil {
			return err
		}
		f.Log.Notice("first boot: the config replaces %s of the slot", path)
	}
	return nil
}

// sameFile reports whether two files or links have the same content.
func sameFile(a, b string) (bool, error) {
	infoA, errA := os.Lstat(a)
	infoB, errB := os.Lstat(b)
	switch err := errors.Join(errA, errB); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case infoA.Mode() != infoB.Mode():
		return false, nil
	}
	read := os.ReadFile
	switch infoA.Mode().Type() {
	case fs.ModeSymlink:
		read = func(path string) ([]byte, error) {
			target, err := os.Readlink(path)
			return []byte(target), err
		}
	case 0:
	default:
		return false, nil
	}
	textA, errA := read(a)
	textB, errB := read(b)
	return bytes.Equal(textA, textB), errors.Join(errA, errB)
}
