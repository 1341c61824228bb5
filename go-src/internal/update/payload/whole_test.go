package payload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"

	"coreos/internal/boot/verity"
)

func packWhole(t testing.TB, content []byte, effort Effort) []byte {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil && effort == Best {
		t.Skip("zstd is not installed")
	}
	var packed bytes.Buffer
	if err := WriteWhole(context.Background(), &packed, bytes.NewReader(content), uint64(len(content)/verity.BlockSize), effort, nil); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestWhole(t *testing.T) {
	content := usr(333)
	for _, effort := range []Effort{Fast, Best} {
		t.Run(string(effort), func(t *testing.T) {
			packed := packWhole(t, content, effort)
			if !bytes.Equal(packed, packWhole(t, content, effort)) {
				t.Error("two streams of the same content differ")
			}
			got := make([]byte, len(content))
			blocks := 0
			err := ReadWhole(bytes.NewReader(packed), 333, func(block uint64, data []byte) error {
				blocks++
				copy(got[block*verity.BlockSize:], data)
				return nil
			})
			if err != nil || blocks != 333 || !bytes.Equal(got, content) {
				t.Errorf("%d blocks, error %v", blocks, err)
			}
		})
	}
}

func TestReadWholeRefuses(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 2*MaxWindow/16)
	packed := packWhole(t, content, Fast)
	var wide bytes.Buffer
	encoder, err := zstd.NewWriter(&wide, zstd.WithWindowSize(2*MaxWindow))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(encoder, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	stop, lost := errors.New("stop"), errors.New("connection lost")
	blocks := uint64(len(content) / verity.BlockSize)
	begin := ascending(chunksOf(blocks)).frame()
	for name, test := range map[string]struct {
		packed io.Reader
		blocks uint64
		take   error
		want   error
	}{
		"cut short":    {bytes.NewReader(packed[:len(packed)/2]), blocks, nil, ErrFormat},
		"too few":      {bytes.NewReader(packed), blocks + 1, nil, ErrFormat},
		"other bytes":  {bytes.NewReader(bytes.Repeat([]byte("<html>"), 999)), blocks, nil, ErrFormat},
		"no order":     {bytes.NewReader(packed[len(begin):]), blocks, nil, ErrFormat},
		"large window": {io.MultiReader(bytes.NewReader(begin), &wide), blocks, nil, ErrFormat},
		"lost":         {io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), broken{lost}), blocks, nil, lost},
		"stopped":      {bytes.NewReader(packed), blocks, stop, stop},
		"the good one": {bytes.NewReader(packed), blocks, nil, nil},
	} {
		err := ReadWhole(test.packed, test.blocks, func(uint64, []byte) error { return test.take })
		if !errors.Is(err, test.want) || errors.Is(err, ErrFormat) != errors.Is(test.want, ErrFormat) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
}

// broken is a connection that is lost.
type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.error }

func TestWriteWholeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, effort := range []Effort{Fast, Best} {
		if err := WriteWhole(ctx, io.Discard, bytes.NewReader(usr(3)), 3, effort, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", effort, err)
		}
	}
	lost := errors.New("disk error")
	for _, effort := range []Effort{Fast, Best} {
		if err := WriteWhole(context.Background(), io.Discard, broken{lost}, 3, effort, nil); !errors.Is(err, lost) {
			t.Errorf("%s: error %v", effort, err)
		}
	}
}

func FuzzReadWhole(f *testing.F) {
	const blocks = 2*ChunkBlocks + 5
	packed := packWhole(f, usr(blocks), Fast)
	f.Add(packed)
	f.Add(append(order{1, 0, 2}.frame(), packed[8+4*3:]...))
	f.Fuzz(func(t *testing.T, packed []byte) {
		seen := map[uint64]bool{}
		err := ReadWhole(bytes.NewReader(packed), blocks, func(block uint64, data []byte) error {
			if block >= blocks || len(data) != verity.BlockSize || seen[block] {
				t.Errorf("block %d of %d bytes, seen before: %v", block, len(data), seen[block])
			}
			seen[block] = true
			return nil
		})
		if (err == nil) != (len(seen) == blocks) {
			t.Errorf("%d blocks, error %v", len(seen), err)
		}
	})
}
