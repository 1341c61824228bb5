package verity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func TestTree(t *testing.T) {
	for _, blocks := range []int{1, 2, 128, 129, 16384, 16385} {
		t.Run(strconv.Itoa(blocks), func(t *testing.T) {
			content := data(blocks)
			b, hash := image(content)
			made, err := NewTree(bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(made.Hash[:]); got != hash || made.Blocks != uint64(blocks) {
				t.Fatalf("made a tree of %d blocks with root %s, want %s", made.Blocks, got, hash)
			}
			if !bytes.Equal(made.Bytes(), b[made.TreeOffset():]) {
				t.Error("the tree's bytes are not those behind the superblock")
			}
			if got := made.TreeSize(); got != int64(len(made.Bytes())) {
				t.Errorf("TreeSize %d, want %d", got, len(made.Bytes()))
			}
			read, err := made.ReadTree(bytes.NewReader(made.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, blocks / 2, blocks - 1} {
				if read.Leaf(uint64(i)) != sha256.Sum256(content[i*BlockSize:][:BlockSize]) {
					t.Errorf("leaf %d is not the hash of its block", i)
				}
			}
		})
	}
}

func TestReadTreeRefuses(t *testing.T) {
	tree, err := NewTree(bytes.NewReader(data(20000)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.ReadTree(bytes.NewReader(tree.Bytes()[:tree.TreeSize()-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: error %v", err)
	}
	// One flipped bit in each block of each level.
	for at := 7; at < len(tree.Bytes()); at += BlockSize {
		bad := bytes.Clone(tree.Bytes())
		bad[at] ^= 1
		if _, err := tree.ReadTree(bytes.NewReader(bad)); !errors.Is(err, ErrMismatch) {
			t.Errorf("byte %d flipped: error %v", at, err)
		}
	}
	other := tree.Root
	other.Blocks -= 200
	if _, err := other.ReadTree(bytes.NewReader(tree.Bytes())); !errors.Is(err, ErrMismatch) {
		t.Errorf("another number of blocks: error %v", err)
	}
}

// The superblock is the same as veritysetup's, called as in make-slot.sh.
func TestSuperblock(t *testing.T) {
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		t.Skip("veritysetup is not installed")
	}
	path := filepath.Join(t.TempDir(), "usr.img")
	if err := os.WriteFile(path, data(300), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "format", "--salt=-", "--uuid=00000000-0000-0000-0000-00000000c05e",
		"--hash-offset=1228800", "--data-blocks=300", path, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root := Root{Blocks: 300}
	if !bytes.Equal(got[300*BlockSize:][:BlockSize], root.Superblock()) {
		t.Errorf("got %x\nwant %x", root.Superblock()[:160], got[300*BlockSize:][:160])
	}
}

func TestNewTreeRefuses(t *testing.T) {
	if _, err := NewTree(bytes.NewReader(nil)); err == nil {
		t.Error("a tree of nothing was made")
	}
	if _, err := NewTree(bytes.NewReader(make([]byte, BlockSize+1))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a block: error %v", err)
	}
}
