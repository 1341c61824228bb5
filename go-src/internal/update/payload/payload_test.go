package payload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
)

// usr returns blocks. Every third one cannot be compressed.
func usr(blocks int) []byte {
	random := rand.NewChaCha8([32]byte{})
	b := make([]byte, blocks*verity.BlockSize)
	for i := range blocks {
		block := b[i*verity.BlockSize:][:verity.BlockSize]
		if i%3 == 0 {
			_, _ = random.Read(block)
		} else {
			copy(block, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, verity.BlockSize/2))
		}
	}
	return b
}

func pack(t testing.TB, content []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	if err := Write(context.Background(), &packed, bytes.NewReader(content), 2); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// open reads the index of a good payload and makes a decoder for it.
func open(t *testing.T, packed []byte, blocks uint64) (*Index, *Decoder) {
	t.Helper()
	index, err := ReadIndex(packed[len(packed)-int(IndexSize(blocks)):], blocks, int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(decoder.Close)
	return index, decoder
}

func TestSpans(t *testing.T) {
	const blocks = 402
	content := usr(blocks)
	packed := pack(t, content)
	index, decoder := open(t, packed, blocks)
	all := int64(len(packed))
	for name, test := range map[string]struct {
		runs       []delta.Run
		gap, limit int64
		spans      int
	}{
		"nothing":             {nil, 0, all, 0},
		"all":                 {[]delta.Run{{Start: 0, Count: blocks}}, 0, all, 1},
		"all, bounded":        {[]delta.Run{{Start: 0, Count: blocks}}, 0, 2 * frameSize, -1},
		"the last":            {[]delta.Run{{Start: blocks - 1, Count: 1}}, 0, all, 1},
		"apart":               {[]delta.Run{{Start: 1, Count: 2}, {Start: 100, Count: 1}}, 0, all, 2},
		"joined over the gap": {[]delta.Run{{Start: 1, Count: 2}, {Start: 100, Count: 1}}, all, all, 1},
		"two in one frame":    {[]delta.Run{{Start: 0, Count: 1}, {Start: 2, Count: 1}}, 0, all, 1},
		"over a frame's end":  {[]delta.Run{{Start: 3, Count: 2}, {Start: 7, Count: 1}, {Start: 8, Count: 1}}, 0, all, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[uint64]bool{}
			var spans int
			var end int64
			for span := range index.Spans(slices.Values(test.runs), test.gap, test.limit) {
				if spans++; span.Offset < end || span.Length > max(test.limit, frameSize+64) {
					t.Errorf("span %+v after byte %d", span, end)
				}
				end = span.Offset + span.Length
				err := decoder.Decode(index, span, packed[span.Offset:end], func(block uint64, data []byte) error {
					if !bytes.Equal(data, content[block*verity.BlockSize:][:verity.BlockSize]) {
						t.Errorf("block %d is wrong", block)
					}
					got[block] = true
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if test.spans >= 0 && spans != test.spans {
				t.Errorf("%d spans, want %d", spans, test.spans)
			}
			for _, run := range test.runs {
				for block := run.Start; block < run.End(); block++ {
					if !got[block] {
						t.Errorf("block %d was not fetched", block)
					}
				}
			}
		})
	}
}

func TestWriteIsReproducible(t *testing.T) {
	content := usr(100)
	var one bytes.Buffer
	if err := Write(context.Background(), &one, bytes.NewReader(content), 1); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), pack(t, content)) {
		t.Error("the bytes depend on the number of processors")
	}
}

func TestWriteRefusesHalfABlock(t *testing.T) {
	err := Write(context.Background(), io.Discard, strings.NewReader(strings.Repeat("x", verity.BlockSize+1)), 1)
	if err == nil || !strings.Contains(err.Error(), "after the last whole block") {
		t.Errorf("error %v", err)
	}
}

func TestZstdReadsIt(t *testing.T) {
	tool, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("zstd is not installed")
	}
	content := usr(33)
	command := exec.Command(tool, "-dc")
	command.Stdin = bytes.NewReader(pack(t, content))
	if out, err := command.Output(); err != nil || !bytes.Equal(out, content) {
		t.Errorf("zstd -d: %v, %d bytes", err, len(out))
	}
}

func TestReadIndexRefuses(t *testing.T) {
	const blocks = 41
	packed := pack(t, usr(blocks))
	index := packed[len(packed)-int(IndexSize(blocks)):]
	size := int64(len(packed))
	change := func(at int, by byte) []byte {
		b := bytes.Clone(index)
		b[at] += by
		return b
	}
	for name, test := range map[string]struct {
		index  []byte
		blocks uint64
		size   int64
	}{
		"cut short":                {index[:len(index)-1], blocks, size},
		"empty":                    {nil, blocks, size},
		"other number of frames":   {index, blocks + FrameBlocks, size},
		"other size of last frame": {index, blocks + 1, size},
		"other size":               {index, blocks, size + 1},
		"magic number":             {change(0, 1), blocks, size},
		"compressed size":          {change(8, 1), blocks, size},
		"huge compressed size":     {change(11, 100), blocks, size},
		"decompressed size":        {change(12, 1), blocks, size},
		"number of frames":         {change(len(index)-9, 1), blocks, size},
	} {
		if _, err := ReadIndex(test.index, test.blocks, test.size); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const blocks = 8
	packed := pack(t, usr(blocks))
	index, decoder := open(t, packed, blocks)
	span := slices.Collect(index.Spans(slices.Values([]delta.Run{{Start: 0, Count: blocks}}), 0, 1<<20))[0]
	decode := func(b []byte) error {
		return decoder.Decode(index, span, b, func(uint64, []byte) error { return nil })
	}
	if err := decode(packed[:span.Length-1]); !errors.Is(err, ErrFormat) {
		t.Errorf("cut short: error %v", err)
	}
	if err := decode(bytes.Repeat([]byte("<html>"), int(span.Length))); !errors.Is(err, ErrFormat) {
		t.Errorf("other bytes: error %v", err)
	}
	// A frame that unpacks to much more than it says.
	bomb := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58} // no content size, a window of 2 MiB
	for range 200 {
		bomb = append(bomb, 0x02, 0x00, 0x10, 'x') // a block: 'x' 131,072 times
	}
	bomb = append(bomb, 0x03, 0x00, 0x10, 'x')
	if err := decode(append(bomb, make([]byte, span.Length)...)); !errors.Is(err, ErrFormat) {
		t.Errorf("a bomb: error %v", err)
	}
	if err := decode(packed); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestStream(t *testing.T) {
	content := usr(33)
	packed := pack(t, content)
	var got []byte
	take := func(block uint64, data []byte) error {
		if block != uint64(len(got)/verity.BlockSize) {
			t.Errorf("block %d after %d bytes", block, len(got))
		}
		got = append(got, data...)
		return nil
	}
	if err := Stream(bytes.NewReader(packed), 33, take); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	stop := errors.New("stop")
	for name, test := range map[string]struct {
		packed []byte
		blocks uint64
		take   func(uint64, []byte) error
		want   error
	}{
		"cut short":   {packed[:len(packed)/2], 33, func(uint64, []byte) error { return nil }, ErrFormat},
		"too few":     {packed, 34, func(uint64, []byte) error { return nil }, ErrFormat},
		"other bytes": {bytes.Repeat([]byte("<html>"), 999), 33, func(uint64, []byte) error { return nil }, ErrFormat},
		"stopped":     {packed, 33, func(uint64, []byte) error { return stop }, stop},
	} {
		if err := Stream(bytes.NewReader(test.packed), test.blocks, test.take); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzReadIndex(f *testing.F) {
	packed := pack(f, usr(10))
	f.Add(packed[len(packed)-int(IndexSize(10)):], uint64(10), int64(len(packed)))
	f.Fuzz(func(t *testing.T, b []byte, blocks uint64, size int64) {
		if blocks > 1<<20 {
			return
		}
		index, err := ReadIndex(b, blocks, size)
		if err != nil || blocks == 0 {
			return
		}
		for span := range index.Spans(slices.Values([]delta.Run{{Start: 0, Count: blocks}}), 0, 1<<20) {
			if span.Offset < 0 || span.Offset+span.Length > size {
				t.Fatalf("span %+v of %d bytes", span, size)
			}
		}
	})
}
