// Package imagetest makes the images of a slot for tests, in the format of a build.
package imagetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"coreos/internal/boot/verity"
)

// Slot makes the boot image and the /usr image of a version. data is the content of /usr,
// in whole blocks.
func Slot(t testing.TB, version string, data []byte) (boot, usr []byte) {
	t.Helper()
	tree, err := verity.NewTree(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("set slot_version=%q\nset slot_cmdline=\"usrhash=%x coreos.usrblocks=%d\"\n", version, tree.Hash, tree.Blocks)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, member := range []struct{ name, text string }{{"slot.cfg", config}, {"vmlinuz", "kernel of " + version}} {
		if err := w.WriteHeader(&tar.Header{Name: member.name, Size: int64(len(member.text)), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(member.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes(), bytes.Join([][]byte{data, tree.Superblock(), tree.Bytes()}, nil)
}
