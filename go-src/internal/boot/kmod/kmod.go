// Package kmod loads kernel modules for the machine's devices. In the initramfs it does the
// work of udev.
package kmod

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/kmodule"
	"golang.org/x/sys/unix"
)

// alias is a line of modules.alias: the module is a driver for devices whose modalias
// matches the pattern.
type alias struct{ pattern, module string }

// Loader loads modules by name or by a device's modalias, each module once.
type Loader struct {
	prober     *kmodule.Prober
	aliases    []alias
	asked      map[string]bool
	parameters map[string]string // of modules, by their names in files
	Log        func(format string, args ...any)
}

// NewLoader reads the module index below dir/$(uname -r). A kernel without modules has
// none.
func NewLoader(dir string, log func(format string, args ...any)) (*Loader, error) {
	l := &Loader{asked: map[string]bool{}, parameters: map[string]string{}, Log: log}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	index := filepath.Join(dir, unix.ByteSliceToString(uts.Release[:]))
	file, err := os.Open(filepath.Join(index, "modules.alias"))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if l.aliases, err = parseAliases(file); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	l.prober, err = kmodule.NewProber(kmodule.ProbeOpts{DryRunCB: l.insert})
	return l, err
}

// parseAliases reads lines "alias PATTERN MODULE".
func parseAliases(r io.Reader) ([]alias, error) {
	var aliases []alias
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "alias" {
			aliases = append(aliases, alias{fields[1], fields[2]})
		}
	}
	return aliases, lines.Err()
}

// Load loads the named modules and their dependencies. It ignores modules that are built in
// or missing: the step that needs them fails with a better message.
func (l *Loader) Load(names ...string) {
	for _, name := range names {
		l.LoadWith(name, "")
	}
}

// LoadWith loads a module with parameters such as "a=1 b=2".
func (l *Loader) LoadWith(name, parameters string) {
	if l.prober == nil || l.asked[name] {
		return
	}
	l.asked[name] = true
	if parameters != "" {
		l.parameters[name] = parameters
	}
	if err := l.prober.Probe(name, parameters); err != nil {
		l.Log("module %s: %v", name, err)
	}
}

// insert loads the module at path, whose dependencies are loaded. The prober calls it for
// several modules at a time. This process reads the file, not the kernel: a kernel with LoadPin
// takes modules only from the file system that it read the first one from.
func (l *Loader) insert(path string) {
	image, err := os.ReadFile(path)
	if err == nil {
		name := strings.TrimSuffix(filepath.Base(path), ".ko")
		err = unix.InitModule(image, l.parameters[name])
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		l.Log("module %s: %v", path, err)
	}
}

// LoadFor loads the modules for a device's modalias, and reports whether there are any.
func (l *Loader) LoadFor(modalias string) bool {
	if modalias == "" || l.asked[modalias] {
		return false
	}
	l.asked[modalias] = true
	loaded := false
	for _, a := range l.aliases {
		if !l.asked[a.module] && matches(a.pattern, modalias) {
			l.Load(a.module)
			loaded = true
		}
	}
	return loaded
}

// flatten translates patterns of fnmatch(3) for path.Match: "*" matches "/" too, and "[!"
// begins a negated class.
var flatten = strings.NewReplacer("/", "\x01", "[!", "[^")

// matches reports whether a modalias matches a pattern of fnmatch(3).
func matches(pattern, modalias string) bool {
	ok, err := path.Match(flatten.Replace(pattern), flatten.Replace(modalias))
	return ok && err == nil
}

// Coldplug loads modules for the devices in sysfs until enough returns true. Drivers of
// devices that the boot does not need are loaded later, by udev.
func (l *Loader) Coldplug(sys string, enough func() bool) error {
	return filepath.WalkDir(filepath.Join(sys, "devices"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "modalias" {
			return nil // devices come and go meanwhile
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		if l.LoadFor(strings.TrimSpace(string(text))) && enough() {
			return fs.SkipAll
		}
		return nil
	})
}
