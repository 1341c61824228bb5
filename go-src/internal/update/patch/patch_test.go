package patch

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"coreos/internal/boot/verity"
)

// random returns data that cannot be compressed.
func random(seed uint64, blocks int) []byte {
	b := make([]byte, blocks*verity.BlockSize)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func version(t testing.TB, data []byte) Version {
	t.Helper()
	tree, err := verity.NewTree(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return Version{tree, bytes.NewReader(data)}
}

// edited changes a few bytes in each block of a part of data, as a rebuilt program does.
func edited(data []byte, from, to int) []byte {
	data = bytes.Clone(data)
	for block := from; block < to; block++ {
		data[block*verity.BlockSize+block%verity.BlockSize] ^= 0xff
	}
	return data
}

// shifted puts blocks in front of data that move the rest.
func shifted(data []byte, by int) []byte { return append(random(9, by), data...) }

func write(t testing.TB, newer, older Version) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := Write(context.Background(), &file, newer, older, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// apply returns the blocks that a patch makes.
func apply(file []byte, newer, older Version) (map[uint64][]byte, error) {
	x := NewIndex(newer.Tree, older.Tree)
	if int64(len(file)) < x.Size() {
		return nil, ErrFormat
	}
	if err := x.Read(file[:x.Size()], int64(len(file))); err != nil {
		return nil, err
	}
	made := map[uint64][]byte{}
	for _, s := range x.Segments {
		err := x.Decode(s, file[s.Offset:s.Offset+s.Length], older.Data, func(block uint64, data []byte) error {
			made[block] = bytes.Clone(data)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}

func TestPatch(t *testing.T) {
	base := random(1, 1000)
	tests := map[string]struct {
		older, newer []byte
		blocks       int // that are made
		most         int // bytes of the patch
	}{
		"the same":           {base, base, 0, 0},
		"one block":          {base, edited(base, 500, 501), 1, 100},
		"many segments":      {base, edited(base, 100, 700), 600, 600 * 64},
		"at both ends":       {base, edited(edited(base, 0, 1), 999, 1000), 2, 100},
		"moved and changed":  {base, shifted(edited(base, 300, 700), 200), 600, 200*verity.BlockSize + 200 + 400*64},
		"grown from little":  {random(2, 3), append(random(2, 3), random(3, 10)...), 10, 11 * verity.BlockSize},
		"shrunk":             {base, edited(base, 0, 10)[:20*verity.BlockSize], 10, 10 * 64},
		"nothing in common":  {random(4, 200), base, 1000, 1001 * verity.BlockSize},
		"one block for each": {random(5, 1), random(6, 1), 1, verity.BlockSize + 100},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			older, newer := version(t, test.older), version(t, test.newer)
			file := write(t, newer, older)
			if len(file) > test.most {
				t.Errorf("%d bytes, want at most %d", len(file), test.most)
			}
			made, err := apply(file, newer, older)
			if err != nil {
				t.Fatal(err)
			}
			if len(made) != test.blocks {
				t.Errorf("it makes %d blocks, want %d", len(made), test.blocks)
			}
			for block, data := range made {
				if !bytes.Equal(data, test.newer[block*verity.BlockSize:][:verity.BlockSize]) {
					t.Errorf("block %d is wrong", block)
				}
			}
		})
	}
}

func TestPatchTooLarge(t *testing.T) {
	var file bytes.Buffer
	err := Write(context.Background(), &file, version(t, random(1, 300)), version(t, random(2, 300)), 500_000)
	if !errors.Is(err, ErrTooLarge) || file.Len() > 0 {
		t.Errorf("%v, %d bytes written", err, file.Len())
	}
}

func TestBadPatch(t *testing.T) {
	base := random(1, 600)
	older, newer := version(t, base), version(t, edited(base, 100, 400))
	good := write(t, newer, older)
	for name, change := range map[string]func([]byte) []byte{
		"cut":                  func(b []byte) []byte { return b[:len(b)-1] },
		"longer":               func(b []byte) []byte { return append(b, 0) },
		"empty":                func([]byte) []byte { return nil },
		"dictionary elsewhere": func(b []byte) []byte { b[3] = 0x7f; return b },
		"a huge segment":       func(b []byte) []byte { b[7] = 0xff; return b },
		"another segment":      func(b []byte) []byte { return slices.Concat(b[8:16], b[:8], b[16:]) },
		"no frame":             func(b []byte) []byte { clear(b[24:40]); return b },
	} {
		if _, err := apply(change(bytes.Clone(good)), newer, older); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzPatch(f *testing.F) {
	base := random(1, 200)
	older, newer := version(f, base), version(f, edited(base, 10, 160))
	good := write(f, newer, older)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, file []byte) {
		made, err := apply(file, newer, older)
		if err == nil && len(made) != 150 {
			t.Errorf("%d blocks without an error", len(made))
		}
	})
}
