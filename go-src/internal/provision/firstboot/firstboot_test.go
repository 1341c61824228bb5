package firstboot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// diary is a Log that remembers.
type diary struct{ lines []string }

func (d *diary) note(kind, format string, args ...any) {
	d.lines = append(d.lines, kind+" "+fmt.Sprintf(format, args...))
}
func (d *diary) Error(format string, args ...any)   { d.note("error", format, args...) }
func (d *diary) Warning(format string, args ...any) { d.note("warning", format, args...) }
func (d *diary) Notice(format string, args ...any)  { d.note("notice", format, args...) }
func (d *diary) Info(format string, args ...any)    { d.note("info", format, args...) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " ")
}

// TestRecord has the boots of a machine, one after the other.
func TestRecord(t *testing.T) {
	root := t.TempDir()
	begin := func(want bool) {
		t.Helper()
		if got, err := Begin(root); err != nil || got != want {
			t.Fatalf("unfinished is %v, error %v", got, err)
		}
	}
	write(t, filepath.Join(root, "lost+found/x"), "")
	begin(true)
	write(t, filepath.Join(root, "etc/half"), "written")
	begin(true) // the first attempt failed
	if got := names(t, root); got != Record+" lost+found" {
		t.Errorf("the second attempt finds %s", got)
	}
	write(t, filepath.Join(root, "etc/whole"), "written")
	if err := Finish(root); err != nil {
		t.Fatal(err)
	}
	begin(false)
	if got := names(t, root); got != "etc lost+found" {
		t.Errorf("afterwards there is %s", got)
	}
	// The operator wants it again, on top, and after that from the beginning.
	write(t, filepath.Join(root, Record), "")
	begin(true)
	if got := names(t, root); got != Record+" etc lost+found" {
		t.Errorf("on top of what was there is %s", got)
	}
	write(t, filepath.Join(root, Record), "clean")
	begin(true)
	if got := names(t, root); got != Record+" lost+found" {
		t.Errorf("from the beginning there is %s", got)
	}
}

// TestRecordOlder has a machine that is older than the record.
func TestRecordOlder(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/hostname"), "old\n")
	if got, err := Begin(root); err != nil || got {
		t.Errorf("unfinished is %v, error %v", got, err)
	}
}

func TestOff(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"": false, "quiet ignition.firstboot": false, "ignition.firstboot=1": false,
		"ignition.firstboot=0 quiet": true, "ignition.firstboot=off": true, "xignition.firstboot=0": false,
	} {
		if off(cmdline) != want {
			t.Errorf("%q: want %v", cmdline, want)
		}
	}
}

func TestFollow(t *testing.T) {
	var d diary
	f := FirstBoot{Log: &d}
	last := f.follow(strings.NewReader("INFO     : Stage: files\nINFO     : GET https://me:s3cret@a.com/x: attempt #1\nDEBUG    : noise\nWARNING  : odd\n" +
		"CRITICAL : Ignition failed: failed to create files: x: y\nnot a message\n" + strings.Repeat("x", 100<<10) + "\nERROR    : too late\n"))
	if want := "failed to create files: x: y"; last != want {
		t.Errorf("the reason is %q", last)
	}
	want := []string{"info ignition: Stage: files", "info ignition: GET https://xxxxx@a.com/x: attempt #1", "warning ignition: odd", "error ignition: Ignition failed: failed to create files: x: y"}
	if !slices.Equal(d.lines, want) {
		t.Errorf("told was %q", d.lines)
	}
}

// TestFollowPlace has a config that breaks off.
func TestFollowPlace(t *testing.T) {
	f := FirstBoot{Log: &diary{}}
	last := f.follow(strings.NewReader("CRITICAL : error at line 3 col 2: invalid character 'x'\nCRITICAL : Ignition failed: config is not valid\n"))
	if want := "config is not valid: error at line 3 col 2: invalid character 'x'"; last != want {
		t.Errorf("the reason is %q, want %q", last, want)
	}
}

func TestPresetUnits(t *testing.T) {
	got, err := presetUnits(strings.NewReader("# x\nenable a.service\ndisable b.timer\nenable getty@.service tty1 tty2\nignore c.service\nenable\n"))
	want := []string{"a.service", "b.timer", "getty@tty1.service", "getty@tty2.service"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, error %v", got, err)
	}
}

func TestResolvConf(t *testing.T) {
	dir := t.TempDir()
	state, out := filepath.Join(dir, "state"), filepath.Join(dir, "resolve/stub-resolv.conf")
	write(t, state, "OPER_STATE=routable\nDNS=10.0.2.3 fec0::3\nDOMAINS=example.com\n")
	if err := writeResolvConf(state, out); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(out); string(text) != "nameserver 10.0.2.3\nnameserver fec0::3\nsearch example.com\n" {
		t.Errorf("got %q", text)
	}
	write(t, state, "OPER_STATE=routable\n")
	if err := writeResolvConf(state, out); err == nil {
		t.Error("a network without name servers is no error")
	}
}

func TestKernelArguments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ignition.json")
	for text, refused := range map[string]bool{
		`{"ignition": {"version": "3.4.0"}}`:                            false,
		`{"kernelArguments": {}}`:                                       false,
		`{"kernelArguments": {"shouldExist": ["quiet"]}}`:               true,
		`{"kernelArguments": {"shouldNotExist": ["x"]}, "storage": {}}`: true,
		`{"kernelArguments": `:                                          true,
	} {
		write(t, path, text)
		c, err := readConfig(path)
		if err == nil {
			err = c.checkKernelArguments()
		}
		if (err != nil) != refused {
			t.Errorf("%s: error %v", text, err)
		}
	}
}
