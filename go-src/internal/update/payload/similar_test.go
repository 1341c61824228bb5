package payload

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"coreos/internal/boot/verity"
)

// twins returns two contents of a window each, one after the other: the second one is the
// first one after some other bytes, so that no chunk equals another.
func twins() []byte {
	random := rand.NewChaCha8([32]byte{7})
	first, other := make([]byte, MaxWindow+3*chunkSize), make([]byte, 5000)
	_, _ = random.Read(first)
	_, _ = random.Read(other)
	both := slices.Concat(first, other, first)
	return both[:len(both)/verity.BlockSize*verity.BlockSize]
}

// Content that is further away than a window in /usr is near in the stream.
func TestSimilarOrder(t *testing.T) {
	content := twins()
	blocks := uint64(len(content) / verity.BlockSize)
	o, err := similarOrder(context.Background(), bytes.NewReader(content), blocks)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readOrder(bytes.NewReader(o.frame()), blocks); err != nil {
		t.Error(err)
	}
	places := make([]int, len(o))
	for place, chunk := range o {
		places[chunk] = place
	}
	far := 0
	apart := MaxWindow/chunkSize + 3
	for chunk := range apart {
		if between := places[chunk+apart] - places[chunk]; between < 0 && -between > apart/2 || between > apart/2 {
			far++
		}
	}
	if far > apart/10 {
		t.Errorf("%d of %d chunks are far from their twins: %v", far, apart, o)
	}
	again, err := similarOrder(context.Background(), bytes.NewReader(content), blocks)
	if err != nil || !slices.Equal(o, again) {
		t.Errorf("another order of the same content, error %v", err)
	}
	best, fast := packWhole(t, content, Best), packWhole(t, content, Fast)
	if len(best) > len(fast)*6/10 {
		t.Errorf("%d bytes, %d in the order of /usr", len(best), len(fast))
	}
}

func TestSimilarOrderOfLittle(t *testing.T) {
	for blocks := range uint64(2*ChunkBlocks + 2) {
		o, err := similarOrder(context.Background(), bytes.NewReader(make([]byte, blocks*verity.BlockSize)), blocks)
		if err != nil || !slices.Equal(o, ascending(chunksOf(blocks))) {
			t.Errorf("%d blocks: %v, error %v", blocks, o, err)
		}
	}
}

// A chunk counts as known only by content that is in the window.
func TestWindow(t *testing.T) {
	samples := []sample{{1, 0}, {1, 3}, {2, 1}, {2, 2}, {3, 0}, {3, 1}, {4, 4}}
	w := newWindow(samples, 5)
	for _, step := range []struct {
		do   func(uint32)
		what uint32
		want []uint64
		best uint64
	}{
		{w.enter, 0, []uint64{2, 1, 0, 1, 0}, 3},
		{w.enter, 1, []uint64{2, 2, 1, 1, 0}, 2},
		{w.leave, 0, []uint64{1, 2, 1, 0, 0}, 2},
		{w.leave, 1, []uint64{0, 0, 0, 0, 0}, 2},
	} {
		step.do(step.what)
		if !slices.Equal(w.known, step.want) {
			t.Errorf("known %v, want %v", w.known, step.want)
		}
		if got := w.best(4); got != step.best {
			t.Errorf("best %d, want %d", got, step.best)
		}
	}
}
