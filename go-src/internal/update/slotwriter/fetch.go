package slotwriter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"slices"

	"coreos/internal/update/delta"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

const (
	// rangeGap is how many unneeded bytes are downloaded to save a range of a request. Its
	// header takes a tenth of that, and servers may join ranges that are closer.
	rangeGap = 1 << 10
	// requestGap is the same for a whole request, if the server sends one range for each.
	requestGap = 8 << 10
)

// way is how missing blocks are downloaded.
type way int

const (
	bySpans   way = iota // the spans of the payload that contain them
	byPayload            // the whole payload, since the server does not support ranges
	byWhole              // the whole stream
)

// missing reports whether blocks must be downloaded.
func (c *content) missing() bool { return c.places.Count(delta.Missing) > 0 }

// missingSize returns how many bytes must be downloaded for the missing blocks. It decides
// whether a patch is used.
func (c *content) missingSize(ctx context.Context) (int64, error) {
	if !c.missing() {
		return 0, nil
	}
	_, size, err := c.choose(ctx)
	if err != nil || c.patch == nil {
		return size, err
	}
	patched, err := c.patchSize(ctx)
	// Bundles have no patches.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("the patch cannot be used: the blocks are downloaded", "patch", c.patch.file, "error", err)
	}
	if err != nil || patched >= size {
		c.patch = nil
		return size, ctx.Err()
	}
	return patched, nil
}

// choose returns the way that downloads the fewest bytes for the missing blocks, and the
// number of these bytes.
func (c *content) choose(ctx context.Context) (way, int64, error) {
	whole := c.want.Whole
	way, size := bySpans, int64(0)
	switch err := c.readIndex(ctx); {
	case err == nil:
		for span := range c.spans() {
			size += span.Length
		}
	case errors.Is(err, errors.ErrUnsupported):
		way, size = byPayload, c.want.Payload.Size
	case errors.Is(err, fs.ErrNotExist) && whole != nil:
		return byWhole, whole.Size, nil // a bundle has no payload
	default:
		return way, 0, err
	}
	if whole != nil && whole.Size < size {
		return byWhole, whole.Size, nil
	}
	return way, size, nil
}

func (c *content) readIndex(ctx context.Context) error {
	if c.index != nil {
		return nil
	}
	name := release.PayloadFile(c.name)
	b := make([]byte, payload.IndexSize(c.want.Blocks))
	if err := c.job.Files.ReadRange(ctx, name, c.want.Payload.Size-int64(len(b)), b); err != nil {
		return err
	}
	c.job.progress.Total += int64(len(b))
	c.job.fetched(len(b))
	index, err := payload.ReadIndex(b, c.want.Blocks, c.want.Payload.Size)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrWrongBytes, name, err)
	}
	c.index = index
	return nil
}

// fetch downloads the missing blocks. If the whole stream is damaged, the rest is
// downloaded from the payload, if there is one.
func (c *content) fetch(ctx context.Context) error {
	if !c.missing() {
		return nil
	}
	way, size, err := c.choose(ctx)
	if err != nil {
		return err
	}
	switch way {
	case bySpans:
		return c.fetchSpans(ctx)
	case byPayload:
		return c.fetchPayload(ctx)
	}
	before := c.job.progress.Fetched
	err = c.fetchWhole(ctx)
	c.job.progress.Total -= size - (c.job.progress.Fetched - before)
	if !errors.Is(err, ErrWrongBytes) {
		return err
	}
	c.want.Whole = nil
	_, rest, without := c.choose(ctx)
	if without != nil {
		return err
	}
	slog.Warn("the rest of the whole stream cannot be used: it is downloaded from the payload", "content", c.name, "error", err)
	c.job.progress.Total += rest
	return c.fetch(ctx)
}

// take returns a function that checks a block of a file, and writes it if it is missing. As
// long as there is no hash tree, makeTree checks all blocks together.
func (c *content) take(file string, out *batch) func(uint64, []byte) error {
	return func(block uint64, data []byte) error {
		if c.places.Place(block).Source != delta.Missing {
			return nil
		}
		hash := sha256.Sum256(data)
		switch {
		case c.builder != nil:
			c.builder.SetLeaf(block, hash)
		case hash != c.tree.Leaf(block):
			return fmt.Errorf("%w: block %d of %s", ErrWrongBytes, block, file)
		}
		return out.put(block, data)
	}
}

func (c *content) fetchPayload(ctx context.Context) error {
	name := release.PayloadFile(c.name)
	file, err := c.job.Files.Open(ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	out := &batch{content: c}
	counted := &counter{io.LimitReader(file, c.want.Payload.Size), c.job}
	err = payload.Stream(counted, c.want.Blocks, c.take(name, out))
	if err := errors.Join(err, out.flush()); err != nil {
		return wrongBytes(err)
	}
	// The index at the end is read, so that the connection can be used again.
	_, err = io.Copy(io.Discard, counted)
	return err
}

// wrongBytes makes an error about the format of a payload, which is not signed itself, an
// ErrWrongBytes.
func wrongBytes(err error) error {
	if errors.Is(err, payload.ErrFormat) {
		return fmt.Errorf("%w: %w", ErrWrongBytes, err)
	}
	return err
}

// counter reports how much is read through it.
type counter struct {
	from io.Reader
	job  *Job
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.job.fetched(n)
	return n, err
}

// spans returns the spans of the payload with the missing blocks.
func (c *content) spans() iter.Seq[payload.Span] {
	gap := int64(rangeGap)
	if c.job.singly.Load() {
		gap = requestGap
	}
	return c.index.Spans(c.places.Missing(), gap, spanLimit)
}

// fetchSpans downloads the spans of the payload with missing blocks.
func (c *content) fetchSpans(ctx context.Context) error {
	decoder, err := payload.NewDecoder()
	if err != nil {
		return err
	}
	defer decoder.Close()
	spans := slices.Collect(c.spans())
	parts := make([]part, len(spans))
	for i, span := range spans {
		parts[i] = part{span.Offset, span.Length}
	}
	out := &batch{content: c}
	name := release.PayloadFile(c.name)
	err = c.job.fetchParts(ctx, name, parts, func(i int, packed []byte) error {
		return wrongBytes(decoder.Decode(c.index, spans[i], packed, c.take(name, out)))
	})
	return errors.Join(err, out.flush())
}
