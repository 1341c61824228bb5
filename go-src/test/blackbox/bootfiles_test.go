package blackbox

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/bootkey"
	"coreos/internal/boot/slot"
	"coreos/test/machine"
	"coreos/test/suite"
)

// signedSlots is what tests need that put boot files or a loader of their own on a disk.
var signedSlots = append(slices.Clip(suite.Slots), suite.SigningKey)

// unpackBoot returns the members of a boot image.
func unpackBoot(t *suite.T, path string) map[string][]byte {
	t.Helper()
	image, err := os.Open(path)
	t.Must(err)
	defer func() { _ = image.Close() }()
	members := map[string][]byte{}
	archive := tar.NewReader(image)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		t.Must(err)
		members[header.Name], err = io.ReadAll(archive)
		t.Must(err)
	}
}

// sumsOf is the slot.sums of a boot image.
func sumsOf(members map[string][]byte) []byte {
	var text bytes.Buffer
	for _, name := range []string{bootimage.Config, bootimage.Kernel, bootimage.Initramfs} {
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(members[name]), name)
	}
	return text.Bytes()
}

// writeBoot fills the boot partition of a slot with those members, signed with the build's
// key.
func writeBoot(t *suite.T, disk *machine.Disk, name slot.Name, members map[string][]byte) {
	t.Helper()
	work, err := os.MkdirTemp(t.Dir, "boot")
	t.Must(err)
	key, err := bootkey.Load(keyDir(t))
	t.Must(err)
	var image bytes.Buffer
	archive := tar.NewWriter(&image)
	add := func(name string, data []byte) {
		t.Must(archive.WriteHeader(&tar.Header{Format: tar.FormatUSTAR, Name: name, Mode: 0o644, Size: int64(len(data))}))
		_, err := archive.Write(data)
		t.Must(err)
	}
	for _, member := range []string{bootimage.Config, bootimage.Sums, bootimage.Kernel, bootimage.Initramfs} {
		data, ok := members[member]
		if !ok {
			continue
		}
		path := filepath.Join(work, member)
		t.Must(os.WriteFile(path, data, 0o644))
		t.Must(bootkey.Sign(key, path, time.Now()))
		signature, err := os.ReadFile(path + ".sig")
		t.Must(err)
		add(member+".sig", signature)
		add(member, data)
	}
	t.Must(archive.Close())
	t.Must(os.RemoveAll(work))
	extent, err := disk.Partition(name.BootLabel())
	t.Must(err)
	t.Must(disk.Write(extent.Offset, image.Bytes()))
}
