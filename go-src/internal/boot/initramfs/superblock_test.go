package initramfs

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"testing"
)

func TestInOrder(t *testing.T) {
	image := makeFilesystem(t)
	if !inOrder(image) {
		t.Error("a new file system is not in order")
	}
	if inOrder(image + ".missing") {
		t.Error("no file system is in order")
	}
	made, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for name, change := range map[string]func(s []byte){
		"mounted without a journal": func(s []byte) { le.PutUint16(s[0x3a:], 0) },
		"errors were seen":          func(s []byte) { le.PutUint16(s[0x3a:], 1|2) },
		"errors were counted":       func(s []byte) { le.PutUint32(s[0x194:], 1) },
		"journal to be replayed":    func(s []byte) { s[0x60] |= 4 },
		"orphan file in use":        func(s []byte) { s[0x66] |= 1 },
		"list of orphans":           func(s []byte) { le.PutUint32(s[0xe8:], 12) },
		"check after some mounts":   func(s []byte) { le.PutUint16(s[0x36:], 20) },
		"check after some time":     func(s []byte) { le.PutUint32(s[0x44:], 86400) },
		"no checksum":               func(s []byte) { s[0x65] &^= 4 },
		"another file system":       func(s []byte) { s[0x38] = 0 },
	} {
		s := &superblock{}
		copy(s[:], made[1024:])
		change(s[:])
		le.PutUint32(s[0x3fc:], ^crc32.Checksum(s[:0x3fc], crc32.MakeTable(crc32.Castagnoli)))
		device := append(append(make([]byte, 1024), s[:]...), 0)
		if err := os.WriteFile(image, device, 0o600); err != nil {
			t.Fatal(err)
		}
		if inOrder(image) {
			t.Errorf("%s: in order", name)
		}
	}
	made[1024+0x88]++ // where it was mounted last: of no matter but for the checksum
	if err := os.WriteFile(image, made, 0o600); err != nil {
		t.Fatal(err)
	}
	if inOrder(image) {
		t.Error("a wrong checksum: in order")
	}
}

func TestNeverMounted(t *testing.T) {
	s, err := superblockOf(makeFilesystem(t))
	if err != nil || !s.neverMounted() {
		t.Fatalf("a new file system was mounted, %v", err)
	}
	for name, at := range map[string]int{"in 1970": 0x2c, "in 2106": 0x274} {
		mounted := *s
		mounted[at] = 1
		if mounted.neverMounted() {
			t.Errorf("mounted %s: never mounted", name)
		}
	}
	if _, err := superblockOf(t.TempDir()); err == nil {
		t.Error("a directory has a superblock")
	}
}
