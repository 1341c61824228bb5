package kmod

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/u-root/u-root/pkg/kmodule"

	"coreos/internal/host/treetest"
)

// TestMatches has patterns of real modules.alias files and modaliases of real
// machines; the results are those of fnmatch(3).
func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, modalias string
		want              bool
	}{
		{"virtio:d00000002v*", "virtio:d00000002v00001AF4", true},
		{"virtio:d00000002v*", "virtio:d00000022v00001AF4", false},
		{"virtio:d?????????*", "virtio:d00000002v00001AF4", true},
		{"pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", true},
		{"pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true},
		{"pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80", false},
		{"pci:v*d*sv*sd*bc01sc08i02*", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", true},
		{"scsi:t-0x00*", "scsi:t-0x00", true},
		{"scsi:t-0x05*", "scsi:t-0x00", false},
		{"acpi*:PNP0C0C:*", "acpi:PNP0C0C:", true},
		{"acpi*:ACPI0003:*", "acpi:PNP0C0C:", false},
		{"usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v0781p5567d0100dc00dsc00dp00ic08isc06ip50in00", true},
		{"usb:v046DpC3[0-1][0-9A-F]d*dc*", "usb:v046DpC31Cd4920dc00dsc00dp00", true},
		{"usb:v046DpC3[0-1][0-9A-F]d*dc*", "usb:v046DpC32Cd4920dc00dsc00dp00", false},
		{"usb:v1234p5678d0[1-35-7]*dc*", "usb:v1234p5678d0500dc00", true},
		{"usb:v1234p5678d0[1-35-7]*dc*", "usb:v1234p5678d0400dc00", false},
		{"usb:v1234p5678d0[!4]*dc*", "usb:v1234p5678d0400dc00", false},
		{"usb:v1234p5678d0[!4]*dc*", "usb:v1234p5678d0500dc00", true},
		{"usb:v1234p5678d0[^4]*dc*", "usb:v1234p5678d0400dc00", false},
		{"of:N*T*Cvendor,a/b*", "of:NxT(null)Cvendor,a/bC", true},
		{"dmi*:svnQ*:", "dmi:bvnSeaBIOS:bvr1/2:svnQEMU:", true},
		{"cpu:type:x86,ven0000fam*mod*:feature:*0081*", "cpu:type:x86,ven0000fam0006mod004F:feature:,0000,0081,0099", true},
		{"input:b*v*p*e*-e*1,*2,*k*14A,*r*", "input:b0003v0627p0001e0001-e0,1,2,4,k14A,14B,r0,1", true},
		{"platform:a?c", "platform:a/c", true},
		{"", "x", false},
		{"*", "", true},
		{"*", "acpi:X/Y:", true},
		{"a", "a:", false},
		{"x[", "xy", false}, // malformed
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.modalias); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.modalias, got)
		}
	}
}

func TestParseAliases(t *testing.T) {
	const text = "# Aliases extracted from modules themselves.\n" +
		"alias virtio:d00000002v* virtio_blk\n" +
		"\n" +
		"alias of two words module\n" +
		"alias nothing\n" +
		"options virtio_blk x\n" +
		"  alias\tscsi:t-0x00*  sd_mod  \n"
	want := []alias{{"virtio:d00000002v*", "virtio_blk"}, {"scsi:t-0x00*", "sd_mod"}}
	got, err := parseAliases(strings.NewReader(text))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := parseAliases(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("an endless line was taken")
	}
}

func TestNewLoaderWithoutModules(t *testing.T) {
	l, err := NewLoader(t.TempDir(), t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	l.Load("ext4")
	if l.LoadFor("virtio:d00000002v00001AF4") {
		t.Error("loaded a module that is not there")
	}
}

// recorder notes which modules were loaded, in their order, and what was logged.
type recorder struct {
	sync.Mutex
	loaded []string
	logged []string
}

func (r *recorder) log(format string, _ ...any) { r.logged = append(r.logged, format) }

// newLoader returns a loader that only notes what it would load.
func newLoader(t *testing.T) (*Loader, *recorder) {
	t.Helper()
	const release = "6.12.0-test"
	root := t.TempDir()
	index := filepath.Join(root, "lib/modules", release)
	if err := os.MkdirAll(index, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"modules.dep": "kernel/block/virtio_blk.ko:\n" +
			"kernel/scsi/sd_mod.ko: kernel/scsi/scsi_mod.ko\n" +
			"kernel/scsi/scsi_mod.ko:\n" +
			"kernel/md/dm-verity.ko.xz: kernel/md/dm-mod.ko.xz\n" +
			"kernel/md/dm-mod.ko.xz:\n",
		"modules.builtin": "kernel/fs/ext4.ko\n",
	} {
		if err := os.WriteFile(filepath.Join(index, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := &recorder{}
	prober, err := kmodule.NewProber(kmodule.ProbeOpts{
		RootDir: root, KVer: release, IgnoreProcMods: true,
		DryRunCB: func(path string) {
			r.Lock()
			defer r.Unlock()
			name, _, _ := strings.Cut(filepath.Base(path), ".")
			r.loaded = append(r.loaded, name)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Loader{
		prober: prober,
		aliases: []alias{
			{"virtio:d00000002v*", "virtio_blk"}, {"virtio:d*v00001AF4", "sd_mod"},
			{"scsi:t-0x00*", "sd_mod"}, {"acpi*:*", "not_shipped"},
		},
		asked: map[string]bool{},
		Log:   r.log,
	}, r
}

func TestLoad(t *testing.T) {
	l, r := newLoader(t)
	l.Load("dm_verity", "ext4", "dm_verity", "erofs", "erofs")
	if want := []string{"dm-mod", "dm-verity"}; !slices.Equal(r.loaded, want) {
		t.Errorf("loaded %q, want %q", r.loaded, want)
	}
	if len(r.logged) != 1 {
		t.Errorf("logged %q, want a line for erofs", r.logged)
	}
}

func TestLoadFor(t *testing.T) {
	l, r := newLoader(t)
	for _, step := range []struct {
		modalias string
		some     bool
		loaded   string
	}{
		{"", false, ""},
		{"pci:v00001234d00001111", false, ""},
		{"virtio:d00000002v00001AF4", true, "virtio_blk scsi_mod sd_mod"},
		{"virtio:d00000002v00001AF4", false, "virtio_blk scsi_mod sd_mod"},
		{"scsi:t-0x00", false, "virtio_blk scsi_mod sd_mod"},
		{"acpi:PNP0C0C:", true, "virtio_blk scsi_mod sd_mod"},
		{"acpi:PNP0C0D:", false, "virtio_blk scsi_mod sd_mod"},
	} {
		some := l.LoadFor(step.modalias)
		if loaded := strings.Join(r.loaded, " "); some != step.some || loaded != step.loaded {
			t.Errorf("%q: returned %v, loaded %q so far, want %v and %q", step.modalias, some, loaded, step.some, step.loaded)
		}
	}
}

// makeDevices makes a sysfs with devices in the order of their names.
func makeDevices(t *testing.T) string {
	t.Helper()
	sys := treetest.Dir(t, map[string]string{
		"devices/1/modalias":         "pci:v00001234d00001111\n",
		"devices/2/virtio0/modalias": "virtio:d00000002v*\n",
		"devices/2/virtio0/uevent":   "MODALIAS=acpi:X:\n",
		"devices/3/modalias":         "scsi:t-0x00\n",
	})
	if err := os.Symlink("gone", filepath.Join(sys, "devices/1/driver")); err != nil {
		t.Fatal(err)
	}
	return sys
}

func TestColdplug(t *testing.T) {
	tests := []struct {
		name   string
		enough int // calls until it is
		want   string
	}{
		{"all devices", 10, "virtio_blk scsi_mod sd_mod"},
		{"until it is enough", 1, "virtio_blk"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, r := newLoader(t)
			asked := 0
			err := l.Coldplug(makeDevices(t), func() bool { asked++; return asked == test.enough })
			if loaded := strings.Join(r.loaded, " "); err != nil || loaded != test.want {
				t.Errorf("loaded %q, %v, want %q", loaded, err, test.want)
			}
		})
	}
	l, _ := newLoader(t)
	if err := l.Coldplug(t.TempDir(), func() bool { return true }); err != nil {
		t.Errorf("without devices: %v", err)
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("usb:v046DpC3[0-1][!0-9A-F]d*dc*", "usb:v046DpC31Cd4920dc00dsc00dp00")
	f.Add("[", "]")
	f.Add("a\\", "**/")
	f.Fuzz(func(t *testing.T, pattern, modalias string) {
		pattern = pattern[:min(len(pattern), 100)]
		if matches(pattern, modalias) && pattern == "" && modalias != "" {
			t.Errorf("%q matches %q", pattern, modalias)
		}
		if !matches("*", modalias) {
			t.Errorf("* does not match %q", modalias)
		}
	})
}

func FuzzParseAliases(f *testing.F) {
	f.Add("alias virtio:d00000002v* virtio_blk\n")
	f.Add("alias a b c\nalias\talias alias\n#")
	f.Fuzz(func(t *testing.T, text string) {
		aliases, _ := parseAliases(strings.NewReader(text))
		for _, a := range aliases {
			if a.pattern == "" || a.module == "" {
				t.Errorf("%q: got %q", text, a)
			}
		}
	})
}
