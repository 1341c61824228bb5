package slotwriter

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"coreos/internal/boot/slot"
	"coreos/internal/update/release"
)

// inBundle returns the release as a bundle has it: without the payload of /usr, and without
// hash trees.
func (v *version) inBundle() *version {
	without := *v
	without.files = maps.Clone(v.files)
	delete(without.files, release.PayloadFile(release.Usr))
	without.files[release.TreeFile(release.Boot)], without.files[release.TreeFile(release.Usr)] = nil, nil
	return &without
}

// A bundle with the data of another version, which the signed manifest does not name, is
// refused when the hash tree is made. The slot cannot be booted, and the good bundle completes it.
func TestOtherData(t *testing.T) {
	good := newVersion("3.0.0", blocks(sequence(10, 16)), blocks(sequence(100, 140))).withWhole().inBundle()
	last := sequence(100, 140)
	last[39] = 9
	for name, test := range map[string]struct {
		file  string
		other *version
		where string
	}{
		"another /usr":         {release.WholeFile(release.Usr), newVersion("3.0.0", good.boot, blocks(sequence(200, 240))), "usr of slot B"},
		"another last block":   {release.WholeFile(release.Usr), newVersion("3.0.0", good.boot, blocks(last)), "usr of slot B"},
		"another boot image":   {release.PayloadFile(release.Boot), newVersion("3.0.0", blocks(sequence(50, 56)), blocks(last)), "boot of slot B"},
		"exchanged boot parts": {release.PayloadFile(release.Boot), newVersion("3.0.0", blocks([]int{11, 10, 12, 13, 14, 15}), blocks(last)), "boot of slot B"},
	} {
		t.Run(name, func(t *testing.T) {
			s := scenario{running: newVersion("2.0.0", blocks(sequence(0, 3)), blocks(sequence(0, 3))), new: good}
			bad := *good
			bad.files = maps.Clone(good.files)
			bad.files[test.file] = test.other.withWhole().files[test.file]
			bad.manifest = new(release.Manifest)
			*bad.manifest = *good.manifest
			bad.manifest.Boot.Payload.Size = int64(len(bad.files[release.PayloadFile(release.Boot)]))
			bad.manifest.Usr.Whole = &release.File{Size: int64(len(bad.files[release.WholeFile(release.Usr)]))}
			m := s.machine(1)
			err := m.job(&bad, s.running).Run(context.Background())
			if !errors.Is(err, ErrWrongBytes) || !strings.HasPrefix(err.Error(), test.where) || !strings.HasSuffix(err.Error(), "copy it again") {
				t.Fatalf("error %v, want one of %s that says what to do", err, test.where)
			}
			m.restart()
			if v := m.loads(slot.B, s.versions()); v != nil {
				t.Fatalf("slot B can be loaded with version %s", v.manifest.Version)
			}
			m.wantBoot(t, s.running, s.versions()...)
			s.updateOn(t, m)
		})
	}
}
