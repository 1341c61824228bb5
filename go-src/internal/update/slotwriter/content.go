package slotwriter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// syncBlocks is the number of blocks after which the writes are flushed. Writes that are not
// flushed take memory, and are lost in an interruption.
const syncBlocks = 8 << 20 / verity.BlockSize

// repairs is how often blocks that are read back wrongly are downloaded again.
const repairs = 2

// content is a content of the release that is being written to a partition.
type content struct {
	job  *Job
	name string
	want release.Content
	to   Device
	// sealed says that the first block is written last; first is that block.
	sealed bool
	first  []byte

	tree    *verity.Tree    // nil until it is downloaded or made
	builder *verity.Builder // makes the tree from the blocks, if it is not downloaded
	places  *delta.Plan
	sources []io.ReaderAt
	index   *payload.Index
	patch   *patching // nil if there is none, or it is larger
	written int
}

// prepare downloads the hash tree, before anything on the disk is changed. If the tree is
// left out, it is made while the blocks are written.
func (c *content) prepare(ctx context.Context) error {
	room := c.want.Size()
	if !c.sealed {
		room += verity.BlockSize + c.want.Tree.Size
	}
	if room > c.to.Size() {
		return fmt.Errorf("%w: it takes %d bytes of %d", ErrTooLarge, room, c.to.Size())
	}
	root, err := c.want.Root()
	if err != nil {
		return err
	}
	file, err := c.job.Files.Open(ctx, release.TreeFile(c.name))
	if errors.Is(err, release.ErrLeftOut) {
		c.builder = verity.NewBuilder(c.want.Blocks)
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	c.tree, err = root.ReadTree(file)
	switch {
	case errors.Is(err, verity.ErrMismatch), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s: %w", ErrWrongBytes, release.TreeFile(c.name), err)
	case err != nil:
		return err
	}
	c.job.fetched(int(c.want.Tree.Size))
	c.job.progress.Total += c.want.Tree.Size
	return nil
}

// plan plans where the blocks come from. own is the partition of the running slot, tree its
// hash tree, and before the hash tree of the content that is replaced, if they are known.
// Without the hash tree of the new content all blocks are written.
func (c *content) plan(ctx context.Context, own Device, tree, before *verity.Tree) error {
	if c.builder != nil {
		c.places = delta.NewMissing(c.want.Blocks)
		return nil
	}
	destination, err := c.holds(ctx, c.to, before)
	if err != nil {
		return err
	}
	ownSource, err := c.holds(ctx, own, tree)
	if err != nil {
		return err
	}
	if tree != nil {
		c.usePatch(own, tree)
	}
	c.sources = []io.ReaderAt{own, c.to}
	c.places = delta.New(delta.Source{Leaves: c.tree, Blocks: c.want.Blocks}, destination, ownSource, destination)
	return nil
}

// holds returns the blocks of a partition, from its hash tree if that is known.
func (c *content) holds(ctx context.Context, partition Device, tree *verity.Tree) (delta.Source, error) {
	if tree != nil {
		return delta.Source{Leaves: tree, Blocks: tree.Blocks}, nil
	}
	return survey(ctx, partition, min(c.want.Blocks, uint64(partition.Size()/verity.BlockSize)))
}

// fill writes all blocks and reads them back.
func (c *content) fill(ctx context.Context) error {
	c.job.report(Downloading)
	// Blocks that move within the partition are copied first, before they are overwritten.
	for _, source := range []int{1, 0} {
		if err := c.copyFrom(ctx, source); err != nil {
			return err
		}
	}
	if err := c.fetchPatch(ctx); err != nil {
		return err
	}
	for range 1 + repairs {
		if err := c.fetch(ctx); err != nil {
			return err
		}
		if err := c.makeTree(); err != nil {
			return err
		}
		if err := c.to.Sync(); err != nil {
			return err
		}
		c.job.report(Verifying)
		bad, err := c.verify(ctx)
		if err != nil {
			return err
		}
		if bad == 0 {
			if c.sealed {
				return nil
			}
			return c.writeTail()
		}
		c.job.report(Downloading)
	}
	return fmt.Errorf("%w: some blocks are still wrong after %d writes", ErrDisk, 1+repairs)
}

// makeTree makes the hash tree of the blocks that were written, if it was not downloaded. The
// blocks are those of the release only if the tree has the root hash of the manifest.
func (c *content) makeTree() error {
	if c.builder == nil {
		return nil
	}
	tree := c.builder.Tree()
	c.builder = nil
	want, err := c.want.Root()
	if err != nil {
		return err
	}
	if tree.Root != want {
		return fmt.Errorf("%w: its blocks have the root hash %x, but %x is signed: the bundle is damaged, copy it again",
			ErrWrongBytes, tree.Hash, want.Hash)
	}
	c.tree = tree
	return nil
}

// copyFrom copies the blocks that a source has. They are checked when they are read back:
// if the source is the destination, it changes meanwhile.
func (c *content) copyFrom(ctx context.Context, source int) error {
	out := batch{content: c}
	buffer := make([]byte, chunkBlocks*verity.BlockSize)
	for block := uint64(0); block < c.want.Blocks; {
		n := c.together(block, source)
		if n == 0 {
			block++
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		from := c.places.Place(block).Block
		err := readBlocks(c.sources[source], from, buffer[:n*verity.BlockSize], func(i uint64, data []byte) error {
			if data == nil {
				c.places.Miss(block + i)
				return nil
			}
			return out.put(block+i, data)
		})
		if err != nil {
			return err
		}
		block += n
	}
	return out.flush()
}

// together returns how many blocks from a block on are consecutive in a source, at most
// chunkBlocks.
func (c *content) together(block uint64, source int) uint64 {
	first := c.places.Place(block)
	var n uint64
	for n < chunkBlocks && block+n < c.want.Blocks && first.Source == source && c.places.Place(block+n) == (delta.Place{Source: source, Block: first.Block + n}) {
		n++
	}
	return n
}

// verify reads all blocks back and returns how many are wrong. These count as missing then.
func (c *content) verify(ctx context.Context) (bad int, err error) {
	err = eachBlock(ctx, c.to, c.want.Blocks, func(block uint64, data []byte) error {
		if block == 0 && c.sealed {
			data = c.first
		}
		if sha256.Sum256(data) != c.tree.Leaf(block) {
			c.places.Miss(block)
			bad++
		}
		return nil
	})
	return bad, err
}

// seal writes the first block.
func (c *content) seal(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := c.to.WriteAt(c.first, 0); err != nil {
		return err
	}
	if err := c.to.Sync(); err != nil {
		return err
	}
	c.sealed = false
	bad, err := c.verify(ctx)
	if err == nil && bad > 0 {
		err = fmt.Errorf("%w: %d blocks", ErrDisk, bad)
	}
	return err
}
