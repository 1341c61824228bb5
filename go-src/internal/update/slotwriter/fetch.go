package slotwriter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"

	"coreos/internal/update/delta"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

const (
	// spanGap is how many bytes are fetched in vain rather than asked for by
	// another request, whose headers and delay cost more.
	spanGap = 2 << 10
	// spanLimit bounds the bytes of a request, and thereby memory.
	spanLimit = 512 << 10
)

// missing tells whether blocks have to be fetched.
func (c *content) missing() bool { return c.places.Count(delta.Missing) > 0 }

// missingSize returns how many bytes are still to be fetched for the missing blocks, and
// chooses the shorter way by that.
func (c *content) missingSize(ctx context.Context) (int64, error) {
	if !c.missing() {
		return 0, nil
	}
	size, err := c.payloadSize(ctx)
	if err != nil || c.patch == nil {
		return size, err
	}
	patched, err := c.patchSize(ctx)
	// Bundles have none.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("the patch is of no use: blocks are fetched", "patch", c.patch.file, "error", err)
	}
	if err != nil || patched >= size {
		c.patch = nil
		return size, ctx.Err()
	}
	return patched, nil
}

// payloadSize returns how many bytes of the payload the missing blocks take.
func (c *content) payloadSize(ctx context.Context) (int64, error) {
	err := c.readIndex(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return c.want.Payload.Size, nil
	}
	if err != nil {
		return 0, err
	}
	var size int64
	for span := range c.index.Spans(c.places.Missing(), spanGap, spanLimit) {
		size += span.Length
	}
	return size, nil
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

// fetch gets the missing blocks: those alone if the server gives parts of files, the
// whole file otherwise.
func (c *content) fetch(ctx context.Context) error {
	if !c.missing() {
		return nil
	}
	err := c.readIndex(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return c.fetchWhole(ctx)
	case err != nil:
		return err
	}
	return c.fetchSpans(ctx)
}

// take checks a block and hands it on if it is a missing one.
func (c *content) take(out *batch) func(uint64, []byte) error {
	return func(block uint64, data []byte) error {
		if c.places.Place(block).Source != delta.Missing {
			return nil
		}
		if sha256.Sum256(data) != c.tree.Leaf(block) {
			return fmt.Errorf("%w: block %d of %s", ErrWrongBytes, block, release.PayloadFile(c.name))
		}
		return out.put(block, data)
	}
}

func (c *content) fetchWhole(ctx context.Context) error {
	file, err := c.job.Files.Open(ctx, release.PayloadFile(c.name))
	if err != nil {
		return err
	}
	defer file.Close()
	out := &batch{content: c}
	counted := &counter{io.LimitReader(file, c.want.Payload.Size), c.job, nil}
	err = payload.Stream(counted, c.want.Blocks, c.take(out))
	if err == nil {
		err = out.flush()
	}
	if err == nil {
		// The index at the end; read, so that the connection can be used again.
		_, err = io.Copy(io.Discard, counted)
	}
	if counted.err != nil {
		// The network's error says more than what came of it.
		return counted.err
	}
	return wrongBytes(err)
}

// wrongBytes marks an error about the format of a payload, whose bytes nobody signed.
func wrongBytes(err error) error {
	if errors.Is(err, payload.ErrFormat) {
		return fmt.Errorf("%w: %w", ErrWrongBytes, err)
	}
	return err
}

// counter reports what is read through it.
type counter struct {
	from io.Reader
	job  *Job
	err  error // but for io.EOF
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.job.fetched(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// fetchSpans gets the missing blocks as parts of the payload.
func (c *content) fetchSpans(ctx context.Context) error {
	decoder, err := payload.NewDecoder()
	if err != nil {
		return err
	}
	defer decoder.Close()
	spans := slices.Collect(c.index.Spans(c.places.Missing(), spanGap, spanLimit))
	parts := make([]part, len(spans))
	for i, span := range spans {
		parts[i] = part{span.Offset, span.Length}
	}
	out := &batch{content: c}
	err = c.job.fetchParts(ctx, release.PayloadFile(c.name), parts, func(i int, packed []byte) error {
		return wrongBytes(decoder.Decode(c.index, spans[i], packed, c.take(out)))
	})
	return errors.Join(err, out.flush())
}
