package slotwriter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
	"coreos/internal/update/patch"
	"coreos/internal/update/release"
)

// patching is the use of a patch from the running version.
type patching struct {
	file  string
	size  int64
	own   io.ReaderAt
	index *patch.Index
	// cost is how many bytes of the patch must be downloaded.
	cost int64
	// whole says that the server does not support ranges.
	whole bool
}

// usePatch looks for a patch from the running content with that tree.
func (c *content) usePatch(own io.ReaderAt, tree *verity.Tree) {
	if p, ok := c.want.Patch(tree.Root); ok {
		c.patch = &patching{file: release.PatchFile(c.name, p.From), size: p.Size, own: own, index: patch.NewIndex(c.tree, tree)}
	}
}

// patchSize returns how many bytes of the patch are needed for the missing blocks.
func (c *content) patchSize(ctx context.Context) (int64, error) {
	p := c.patch
	p.cost = p.size
	index := make([]byte, min(p.index.Size(), p.size))
	err := c.job.Files.ReadRange(ctx, p.file, 0, index)
	if errors.Is(err, errors.ErrUnsupported) {
		p.whole = true
		return p.cost, nil
	}
	if err != nil {
		return 0, err
	}
	c.job.progress.Total += int64(len(index))
	c.job.fetched(len(index))
	if err := p.read(index); err != nil {
		return 0, err
	}
	p.cost = 0
	for _, s := range c.neededSegments() {
		p.cost += s.Length
	}
	return p.cost, nil
}

// read parses the index of the patch.
func (p *patching) read(index []byte) error {
	err := fmt.Errorf("%w: of %d bytes", patch.ErrFormat, p.size)
	if int64(len(index)) == p.index.Size() {
		err = p.index.Read(index, p.size)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrWrongBytes, p.file, err)
	}
	return nil
}

// neededSegments returns the segments that make missing blocks.
func (c *content) neededSegments() []patch.Segment {
	return slices.DeleteFunc(slices.Clone(c.patch.index.Segments), func(s patch.Segment) bool {
		return !slices.ContainsFunc(s.Blocks, func(block uint64) bool { return c.places.Place(block).Source == delta.Missing })
	})
}

// fetchPatch makes missing blocks from the patch. Blocks that it cannot make, because the
// patch or the running slot is damaged, stay missing. The error is one of the context or of
// the disk.
func (c *content) fetchPatch(ctx context.Context) error {
	if c.patch == nil {
		return nil
	}
	out := &batch{content: c}
	fetch := c.fetchSegments
	if c.patch.whole {
		fetch = c.fetchWholePatch
	}
	before := c.job.progress.Fetched
	if err := fetch(ctx, out); err != nil && ctx.Err() == nil {
		slog.Warn("the rest of the patch cannot be used: its blocks are downloaded", "patch", c.patch.file, "error", err)
	}
	// Blocks that could not be written are still missing.
	if err := errors.Join(ctx.Err(), out.flush()); err != nil || !c.missing() {
		return err
	}
	_, size, err := c.choose(ctx)
	c.job.progress.Total += size - (c.patch.cost - (c.job.progress.Fetched - before))
	return err
}

// applySegment makes the blocks of a segment.
func (c *content) applySegment(s patch.Segment, packed []byte, out *batch) error {
	var writing error
	err := c.patch.index.Decode(s, packed, c.patch.own, func(block uint64, data []byte) error {
		if c.places.Place(block).Source == delta.Missing && sha256.Sum256(data) == c.tree.Leaf(block) {
			writing = out.put(block, data)
		}
		return writing
	})
	if err != nil && writing == nil {
		slog.Warn("a part of the patch cannot be used: its blocks are downloaded", "patch", c.patch.file, "error", err)
	}
	return writing
}

func (c *content) fetchSegments(ctx context.Context, out *batch) error {
	needed := c.neededSegments()
	parts := make([]part, len(needed))
	for i, s := range needed {
		parts[i] = part{s.Offset, s.Length}
	}
	return c.job.fetchParts(ctx, c.patch.file, parts, func(i int, packed []byte) error {
		return c.applySegment(needed[i], packed, out)
	})
}

// fetchWholePatch downloads the whole patch.
func (c *content) fetchWholePatch(ctx context.Context, out *batch) error {
	p := c.patch
	file, err := c.job.Files.Open(ctx, p.file)
	if err != nil {
		return err
	}
	defer file.Close()
	counted := &counter{io.LimitReader(file, p.size), c.job}
	index := make([]byte, min(p.index.Size(), p.size))
	if _, err := io.ReadFull(counted, index); err != nil {
		return fmt.Errorf("%s: %w", p.file, err)
	}
	if err := p.read(index); err != nil {
		return err
	}
	for _, s := range p.index.Segments {
		packed := make([]byte, s.Length)
		if _, err := io.ReadFull(counted, packed); err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if err := c.applySegment(s, packed, out); err != nil {
			return err
		}
	}
	return nil
}
