package storage

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func TestProblems(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for name, test := range map[string]struct {
		volume Volume
		want   string // the kinds
		text   string
	}{
		"good":                 {Volume{Size: 20 * gib, Free: 5 * gib, Inodes: 1000, FreeInodes: 900}, "", ""},
		"large":                {Volume{Size: 4000 * gib, Free: 2 * gib}, "", ""},
		"small":                {Volume{Size: 400 * mib, Free: 100 * mib}, "", ""},
		"without inodes":       {Volume{Size: 20 * gib, Free: 5 * gib}, "", ""},
		"low":                  {Volume{Size: 20 * gib, Free: 900 * mib}, "low", "/ is almost full: 900 of 20480 MiB are left. Make room: docker"},
		"full":                 {Volume{Size: 20 * gib}, "full", "/ is full: 0 of 20480 MiB are left. Make room: docker"},
		"all but full":         {Volume{Size: 20 * gib, Free: 15 * mib}, "full", "15 of"},
		"no inodes":            {Volume{Size: 20 * gib, Free: 5 * gib, Inodes: 1000, FreeInodes: 3}, "full", "no inodes left"},
		"read-only":            {Volume{Size: 20 * gib, ReadOnly: true}, "read-only", "journalctl -k says why"},
		"damaged":              {Volume{Size: 20 * gib, Free: 5 * gib, Errors: 7}, "damaged", "7 errors"},
		"all of it":            {Volume{Size: 20 * gib, Errors: 7}, "damaged full", "MiB"},
		"overlay":              {Volume{Type: "overlay", Size: 20 * gib}, "", ""},
		"an overlay elsewhere": {Volume{Where: "/var", Type: "overlay", ReadOnly: true}, "read-only", "journalctl -k says why"},
		"overlay, no more":     {Volume{Where: "/etc", Type: "overlay", ReadOnly: true}, "read-only", "full or damaged disk"},
	} {
		if test.volume.Where == "" {
			test.volume.Where = "/"
		}
		problems := test.volume.Problems()
		var kinds []string
		for _, p := range problems {
			kinds = append(kinds, string(p.Kind))
		}
		if got := strings.Join(kinds, " "); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if text := Text(problems); !strings.Contains(text, test.text) || strings.Count(text, "\n") != len(kinds) {
			t.Errorf("%s: says %q", name, text)
		}
	}
}

func TestMountOf(t *testing.T) {
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(`20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda8 rw,resuid=240
21 20 0:20 / /run rw - tmpfs tmpfs rw
22 20 8:2 / /var ro - ext4 /dev/vdb rw
23 20 8:3 / /var rw - ext4 /dev/vdc ro,errors=remount-ro
24 20 0:21 / /etc rw - overlay etc rw,upperdir=/etc
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/": "/dev/vda8", "/var": "/dev/vdc", "/var/lib/x": "/dev/vdc", "/variable": "/dev/vda8", "/etc/x": "etc", "/home": "/dev/vda8",
	} {
		if got := mountOf(mounts, path); got == nil || got.Source != want {
			t.Errorf("%s is on %+v, want %s", path, got, want)
		}
	}
}

// TestVolumes measures a tmpfs that is mounted read-only, and one of which only the mount is so, as
// in a sandbox.
func TestVolumes(t *testing.T) {
	if _, err := Check(System...); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := unix.Mount("t", dir, "tmpfs", 0, "size=64m,nr_inodes=1000"); err != nil {
		t.Skip("mounts need root: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for _, test := range []struct {
		flags    uintptr
		readOnly bool
	}{
		{0, false},
		{unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY, false},
		{unix.MS_REMOUNT | unix.MS_RDONLY, true},
	} {
		if test.flags != 0 {
			if err := unix.Mount("t", dir, "tmpfs", test.flags, ""); err != nil {
				t.Fatal(err)
			}
		}
		volumes, err := Volumes(filepath.Join(dir, "x"), dir, dir)
		if err != nil || len(volumes) != 1 {
			t.Fatalf("got %+v, %v", volumes, err)
		}
		got := volumes[0]
		if got.Where != dir || got.ReadOnly != test.readOnly || got.Size != 64<<20 || got.Inodes != 1000 || got.FreeInodes == 0 || got.Free == 0 {
			t.Errorf("flags %x: %+v", test.flags, got)
		}
	}
}
