package payload

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

const (
	// sampleBytes is the length of a sample of a chunk, and one of sampleRate sequences of
	// that length is one: those whose hash says so, so that equal content has equal samples.
	sampleBytes = 16
	sampleRate  = 64
	// followBonus is how much of a chunk's content the next chunk of the same file is
	// thought to have in common with it besides the samples, of 1<<16.
	followBonus = 1 << 16 / 50
)

// sample is a sequence of bytes, by its hash, that occurs in a chunk.
type sample struct {
	hash  uint64
	chunk uint32
}

// similarOrder returns an order of the chunks of a /usr in which chunks with equal content
// are less than a window apart: programs have libraries in common, but are larger than a
// window. It begins with the first chunk, and goes on with the one that has the largest part
// of its content in the window before it.
func similarOrder(ctx context.Context, usr io.ReaderAt, blocks uint64) (order, error) {
	samples, err := readSamples(ctx, usr, blocks)
	if err != nil {
		return nil, err
	}
	chunks := chunksOf(blocks)
	w := newWindow(samples, chunks)
	o := make(order, 0, chunks)
	for next := range chunks {
		if next > 0 {
			next = w.best(o[len(o)-1])
		}
		if n := len(o) - MaxWindow/chunkSize; n >= 0 {
			w.leave(o[n])
		}
		w.enter(uint32(next))
		o = append(o, uint32(next))
	}
	return o, nil
}

// readSamples returns the samples of all chunks, each once for a chunk, by their hashes.
func readSamples(ctx context.Context, usr io.ReaderAt, blocks uint64) ([]sample, error) {
	var samples []sample
	data := make([]byte, chunkSize)
	all := ascending(chunksOf(blocks)).reader(usr, blocks)
	for chunk := range chunksOf(blocks) {
		n, err := io.ReadFull(contextReader{ctx, all}, data)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		start := len(samples)
		for i := 0; i+sampleBytes <= n; i++ {
			if hash := mix(binary.LittleEndian.Uint64(data[i:]), binary.LittleEndian.Uint64(data[i+8:])); hash%sampleRate == 0 {
				samples = append(samples, sample{hash, uint32(chunk)})
			}
		}
		sortSamples(samples[start:])
		samples = samples[:start+len(slices.Compact(samples[start:]))]
	}
	sortSamples(samples)
	return samples, nil
}

func sortSamples(samples []sample) {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.chunk, b.chunk)) })
}

// mix hashes 16 bytes.
func mix(a, b uint64) uint64 {
	h := (a ^ (b<<17 | b>>47)) * 0x9E3779B97F4A7C15
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return h ^ h>>32
}

// window is the content that a chunk can refer to.
type window struct {
	// with has the chunks with each sample that is in several, and of the samples of each
	// chunk.
	with [][]uint32
	of   [][]uint32
	// count is how many chunks of the window have a sample.
	count []uint32
	// total is how many samples a chunk has, and known how many of them are in the window.
	total, known []uint64
	placed       []bool
}

func newWindow(samples []sample, chunks uint64) *window {
	w := &window{of: make([][]uint32, chunks), total: make([]uint64, chunks), known: make([]uint64, chunks), placed: make([]bool, chunks)}
	for i := 0; i < len(samples); {
		end := i
		for ; end < len(samples) && samples[end].hash == samples[i].hash; end++ {
			w.total[samples[end].chunk]++
		}
		if end > i+1 {
			var with []uint32
			for _, s := range samples[i:end] {
				with = append(with, s.chunk)
				w.of[s.chunk] = append(w.of[s.chunk], uint32(len(w.with)))
			}
			w.with = append(w.with, with)
		}
		i = end
	}
	w.count = make([]uint32, len(w.with))
	return w
}

// enter adds a chunk to the window.
func (w *window) enter(chunk uint32) {
	w.placed[chunk] = true
	for _, sample := range w.of[chunk] {
		if w.count[sample]++; w.count[sample] == 1 {
			for _, other := range w.with[sample] {
				w.known[other]++
			}
		}
	}
}

// leave removes a chunk from the window.
func (w *window) leave(chunk uint32) {
	for _, sample := range w.of[chunk] {
		if w.count[sample]--; w.count[sample] == 0 {
			for _, other := range w.with[sample] {
				w.known[other]--
			}
		}
	}
}

// best returns the chunk to follow another one; the last chunk is the last to be chosen.
func (w *window) best(after uint32) uint64 {
	last := len(w.placed) - 1
	best, most := last, uint64(0)
	for chunk, placed := range w.placed[:last] {
		if placed {
			continue
		}
		// A few samples say little about a chunk.
		part := w.known[chunk] << 16 / (w.total[chunk] + 50)
		if chunk == int(after)+1 {
			part += followBonus
		}
		if best == last || part > most {
			best, most = chunk, part
		}
	}
	return uint64(best)
}
