package blackbox

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "libraries", Limit: 2 * time.Minute,
		Does: "each program and library of /usr finds the libraries that it is linked to",
		Run:  libraries,
	})
}

// libraryDirs are where the dynamic linkers of both bases look, below /usr.
var libraryDirs = []string{"lib", "lib64", "lib/x86_64-linux-gnu"}

func libraries(t *suite.T) {
	v := newVariant(t)
	usr := filepath.Join(v.tree, "usr")
	defer func() { t.Must(os.RemoveAll(v.tree)) }()
	linked := 0
	t.Must(filepath.WalkDir(usr, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := dynamic(path)
		if err != nil || file == nil {
			return err
		}
		defer file.Close()
		needed, err := file.ImportedLibraries()
		if err != nil {
			return err
		}
		dirs, err := searched(file, usr, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, library := range needed {
			linked++
			if !slices.ContainsFunc(dirs, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, library)); return err == nil }) {
				t.Errorf("%s needs %s, which is not there", strings.TrimPrefix(path, filepath.Dir(usr)), library)
			}
		}
		return nil
	}))
	if linked < 100 {
		t.Errorf("only %d needs of libraries were found", linked)
	}
}

// dynamic opens a file that has a dynamic section, and returns nil for all others.
func dynamic(path string) (*elf.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	magic := make([]byte, len(elf.ELFMAG))
	_, err = file.ReadAt(magic, 0)
	file.Close()
	if err != nil || !bytes.Equal(magic, []byte(elf.ELFMAG)) {
		return nil, nil // also files that are shorter
	}
	program, err := elf.Open(path)
	if err != nil || program.SectionByType(elf.SHT_DYNAMIC) != nil {
		return program, err
	}
	return nil, program.Close()
}

// searched returns the directories in which the libraries of a program are looked for. Its own
// directory is among them: the programs that load a private library of systemd name it.
func searched(file *elf.File, usr, origin string) (dirs []string, err error) {
	dirs = append(dirs, origin)
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, err := file.DynString(tag)
		if err != nil {
			return nil, err
		}
		for dir := range strings.SplitSeq(strings.Join(lists, ":"), ":") {
			dir = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(dir)
			if below, ok := strings.CutPrefix(dir, "/usr/"); ok {
				dir = filepath.Join(usr, below)
			}
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range libraryDirs {
		dirs = append(dirs, filepath.Join(usr, dir))
	}
	return dirs, nil
}
