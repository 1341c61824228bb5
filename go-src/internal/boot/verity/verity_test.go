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
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// data returns blocks of data, each different.
func data(blocks int) []byte {
	b := make([]byte, blocks*BlockSize)
	for i := range blocks {
		copy(b[i*BlockSize:], strconv.Itoa(i))
	}
	return b
}

// image appends a superblock and a hash tree to data as veritysetup does, and
// returns the root hash.
func image(data []byte) ([]byte, string) {
	levels := [][]byte{hashLevel(data)}
	for len(levels[0]) > BlockSize {
		levels = append([][]byte{hashLevel(levels[0])}, levels...)
	}
	root := sha256.Sum256(levels[0])
	b := append(bytes.Clone(data), make([]byte, BlockSize)...)
	for _, level := range levels {
		b = append(b, level...)
	}
	return b, hex.EncodeToString(root[:])
}

// hashLevel returns the hashes of the blocks of b, filled up to whole blocks.
func hashLevel(b []byte) []byte {
	var level []byte
	for ; len(b) > 0; b = b[BlockSize:] {
		sum := sha256.Sum256(b[:BlockSize])
		level = append(level, sum[:]...)
	}
	return append(level, make([]byte, -len(level)&(BlockSize-1))...)
}

func TestParseRoot(t *testing.T) {
	good := strings.Repeat("0aF5", 16)
	tests := []struct {
		name   string
		hash   string
		blocks uint64
		want   string // part of the error
	}{
		{"good", good, 1000, ""},
		{"most blocks", good, maxBlocks, ""},
		{"no blocks", good, 0, "bad number of /usr blocks 0"},
		{"too many blocks", good, maxBlocks + 1, "bad number"},
		{"offset overflows", good, 1 << 63, "bad number"},
		{"no hash", "", 1, "want 64 hexadecimal digits"},
		{"hash too short", good[2:], 1, "want 64"},
		{"odd number of digits", good[1:], 1, "want 64"},
		{"hash too long", good + "00", 1, "want 64"},
		{"much too long", strings.Repeat(good, 100), 1, "want 64"},
		{"not hexadecimal", "g" + good[1:], 1, "want 64"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root, err := ParseRoot(test.hash, test.blocks)
			if test.want == "" {
				if err != nil || root.Blocks != test.blocks || hex.EncodeToString(root.Hash[:]) != strings.ToLower(test.hash) {
					t.Errorf("got %v, %v", root, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestCheck has trees of one level and of two: 128 hashes fill a block.
func TestCheck(t *testing.T) {
	for _, blocks := range []int{2, 128, 129, 1000} {
		t.Run(strconv.Itoa(blocks), func(t *testing.T) {
			b, hash := image(data(blocks))
			root, err := ParseRoot(hash, uint64(blocks))
			if err != nil {
				t.Fatal(err)
			}
			if err := root.Check(bytes.NewReader(b)); err != nil {
				t.Errorf("good tree: %v", err)
			}
			top := (blocks + 1) * BlockSize
			for _, at := range []int{top, top + 31, top + BlockSize - 1} {
				b[at] ^= 1
				if err := root.Check(bytes.NewReader(b)); !errors.Is(err, ErrMismatch) {
					t.Errorf("byte %d flipped: got error %v, want %v", at, err, ErrMismatch)
				}
				b[at] ^= 1
			}
			if err := root.Check(bytes.NewReader(b[:top+BlockSize-1])); !errors.Is(err, io.EOF) || errors.Is(err, ErrMismatch) {
				t.Errorf("cut off: got error %v, want a read error", err)
			}
			clear(b)
			if err := root.Check(bytes.NewReader(b)); !errors.Is(err, ErrMismatch) {
				t.Errorf("never written: got error %v, want %v", err, ErrMismatch)
			}
		})
	}
}

func TestCheckOtherSize(t *testing.T) {
	b, hash := image(data(200))
	for _, blocks := range []uint64{199, 201} {
		root, err := ParseRoot(hash, blocks)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Check(bytes.NewReader(b)); !errors.Is(err, ErrMismatch) {
			t.Errorf("%d blocks: got error %v, want %v", blocks, err, ErrMismatch)
		}
	}
}

// TestCheckRealTree makes the tree with the command of board/coreos/make-slot.sh.
func TestCheckRealTree(t *testing.T) {
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		t.Skip("veritysetup is not installed")
	}
	const blocks = 300
	path := filepath.Join(t.TempDir(), "usr.img")
	if err := os.WriteFile(path, data(blocks), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "format", "--salt=-", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096",
		"--uuid=00000000-0000-0000-0000-00000000c05e", "--hash-offset="+strconv.Itoa(blocks*BlockSize),
		"--data-blocks="+strconv.Itoa(blocks), path, path).CombinedOutput()
	if err != nil {
		t.Fatalf("veritysetup: %v\n%s", err, out)
	}
	match := regexp.MustCompile(`Root hash:\s*([0-9a-f]+)`).FindSubmatch(out)
	if match == nil {
		t.Fatalf("veritysetup printed no root hash:\n%s", out)
	}
	want, hash := image(data(blocks))
	if string(match[1]) != hash {
		t.Errorf("veritysetup's root hash is %s, want %s", match[1], hash)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const tree = (blocks + 1) * BlockSize
	if !bytes.Equal(b[tree:], want[tree:]) {
		t.Error("veritysetup's tree is another one")
	}
	root, err := ParseRoot(string(match[1]), blocks)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := root.Check(file); err != nil {
		t.Errorf("good tree: %v", err)
	}
	if _, err := file.WriteAt([]byte{b[tree] ^ 1}, tree); err != nil {
		t.Fatal(err)
	}
	if err := root.Check(file); !errors.Is(err, ErrMismatch) {
		t.Errorf("damaged tree: got error %v, want %v", err, ErrMismatch)
	}
}
