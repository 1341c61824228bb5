package verity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// Behind the data there is what veritysetup writes, called as in make-slot.sh, to the byte.
// veritysetup makes no tree for a single block, which is no /usr.
func TestVeritysetup(t *testing.T) {
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		t.Skip("veritysetup is not installed")
	}
	for _, blocks := range []int{2, 127, 128, 129, 300, 16384, 16385} {
		t.Run(strconv.Itoa(blocks), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usr.img")
			content := data(blocks)
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tool, "format", "--salt=-", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096",
				"--uuid=00000000-0000-0000-0000-00000000c05e", fmt.Sprintf("--hash-offset=%d", len(content)),
				fmt.Sprintf("--data-blocks=%d", blocks), path, path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tree := shuffled(content)
			if got := append(tree.Superblock(), tree.Bytes()...); !bytes.Equal(got, want[len(content):]) {
				t.Errorf("%d bytes behind the data are not the %d of veritysetup", len(got), len(want)-len(content))
			}
			if hash := hex.EncodeToString(tree.Hash[:]); !bytes.Contains(out, []byte(hash)) {
				t.Errorf("root hash %s, but veritysetup says %s", hash, out)
			}
		})
	}
}

// shuffled builds the tree of data whose blocks come in any order.
func shuffled(content []byte) *Tree {
	blocks := len(content) / BlockSize
	b := NewBuilder(uint64(blocks))
	for _, block := range rand.New(rand.NewPCG(1, uint64(blocks))).Perm(blocks) {
		b.SetLeaf(uint64(block), sha256.Sum256(content[block*BlockSize:][:BlockSize]))
	}
	return b.Tree()
}

// A tree of blocks of which one is changed, exchanged or was never set has another root.
func TestBuilderRoot(t *testing.T) {
	for _, blocks := range []int{2, 129, 16385} {
		content := data(blocks)
		want := shuffled(content).Root
		last := content[(blocks-1)*BlockSize:]
		last[BlockSize-1] ^= 1
		if shuffled(content).Root == want {
			t.Errorf("%d blocks: a changed block does not change the root", blocks)
		}
		last[BlockSize-1] ^= 1
		first := bytes.Clone(content[:BlockSize])
		copy(content, last)
		copy(last, first)
		if shuffled(content).Root == want {
			t.Errorf("%d blocks: exchanged blocks do not change the root", blocks)
		}
		b := NewBuilder(uint64(blocks))
		for block := range blocks - 1 {
			b.SetLeaf(uint64(block), sha256.Sum256(content[block*BlockSize:][:BlockSize]))
		}
		if b.Tree().Root == want {
			t.Errorf("%d blocks: a block that is missing does not change the root", blocks)
		}
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
