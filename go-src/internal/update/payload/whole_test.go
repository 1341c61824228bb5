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
	if err := WriteWhole(context.Background(), &packed, bytes.NewReader(content), effort); err != nil {
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
			var got []byte
			err := ReadWhole(bytes.NewReader(packed), 333, func(block uint64, data []byte) error {
				if block != uint64(len(got)/verity.BlockSize) {
					t.Errorf("block %d after %d bytes", block, len(got))
				}
				got = append(got, data...)
				return nil
			})
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, error %v", len(got), err)
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
	for name, test := range map[string]struct {
		packed io.Reader
		blocks uint64
		take   error
		want   error
	}{
		"cut short":    {bytes.NewReader(packed[:len(packed)/2]), blocks, nil, ErrFormat},
		"too few":      {bytes.NewReader(packed), blocks + 1, nil, ErrFormat},
		"other bytes":  {bytes.NewReader(bytes.Repeat([]byte("<html>"), 999)), blocks, nil, ErrFormat},
		"large window": {bytes.NewReader(wide.Bytes()), blocks, nil, ErrFormat},
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

func TestWriteWholeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, effort := range []Effort{Fast, Best} {
		if err := WriteWhole(ctx, io.Discard, bytes.NewReader(usr(3)), effort); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", effort, err)
		}
	}
	lost := errors.New("disk error")
	for _, effort := range []Effort{Fast, Best} {
		if err := WriteWhole(context.Background(), io.Discard, broken{lost}, effort); !errors.Is(err, lost) {
			t.Errorf("%s: error %v", effort, err)
		}
	}
}

func FuzzReadWhole(f *testing.F) {
	f.Add(packWhole(f, usr(10), Fast))
	f.Fuzz(func(t *testing.T, packed []byte) {
		next := uint64(0)
		err := ReadWhole(bytes.NewReader(packed), 10, func(block uint64, data []byte) error {
			if block != next || len(data) != verity.BlockSize {
				t.Errorf("block %d of %d bytes, want block %d", block, len(data), next)
			}
			next++
			return nil
		})
		if (err == nil) != (next == 10) {
			t.Errorf("%d blocks, error %v", next, err)
		}
	})
}
