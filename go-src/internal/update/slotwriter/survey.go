package slotwriter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
)

// chunkBlocks is how many blocks are read and written at once.
const chunkBlocks = 256

// leaves are the hashes of the blocks of a partition. The hash of an unreadable block is
// zero, which no block has.
type leaves []verity.Hash

// Leaf implements delta.Leaves.
func (l leaves) Leaf(block uint64) verity.Hash { return l[block] }

// survey hashes the first blocks of a partition. A slot that was never written is mostly
// zeros.
func survey(ctx context.Context, from io.ReaderAt, blocks uint64) (delta.Source, error) {
	found := make(leaves, blocks)
	zero := make([]byte, verity.BlockSize)
	zeroHash := sha256.Sum256(zero)
	err := eachBlock(ctx, from, blocks, func(block uint64, data []byte) error {
		switch {
		case data == nil:
		case bytes.Equal(data, zero):
			found[block] = zeroHash
		default:
			found[block] = sha256.Sum256(data)
		}
		return nil
	})
	return delta.Source{Leaves: found, Blocks: blocks}, err
}

// eachBlock reads the first blocks of a partition and calls take for each; data is nil for
// a block that cannot be read. The error is that of take or of the context.
func eachBlock(ctx context.Context, from io.ReaderAt, blocks uint64, take func(block uint64, data []byte) error) error {
	buffer := make([]byte, min(chunkBlocks, blocks)*verity.BlockSize)
	for start := uint64(0); start < blocks; start += chunkBlocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buffer[:min(chunkBlocks, blocks-start)*verity.BlockSize]
		err := readBlocks(from, start, chunk, func(i uint64, data []byte) error { return take(start+i, data) })
		if err != nil {
			return err
		}
	}
	return nil
}

// readBlocks reads consecutive blocks into a buffer and calls take for each, with nil for a
// block that cannot be read. The error is that of take.
func readBlocks(from io.ReaderAt, start uint64, buffer []byte, take func(i uint64, data []byte) error) error {
	_, unread := from.ReadAt(buffer, int64(start*verity.BlockSize))
	for i := range uint64(len(buffer) / verity.BlockSize) {
		data := buffer[i*verity.BlockSize:][:verity.BlockSize]
		// Reading block by block finds the bad sector.
		if unread != nil {
			if _, err := from.ReadAt(data, int64((start+i)*verity.BlockSize)); err != nil {
				data = nil
			}
		}
		if err := take(i, data); err != nil {
			return err
		}
	}
	return nil
}
