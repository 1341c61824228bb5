package slotwriter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
)

// chunkBlocks is how many blocks are read and written at a time.
const chunkBlocks = 256

// leaves are the hashes of what a partition holds; those of unreadable blocks are zero,
// which no block's is.
type leaves []verity.Hash

// Leaf is for delta.Leaves.
func (l leaves) Leaf(block uint64) verity.Hash { return l[block] }

// survey hashes the first blocks of a partition. Most of a slot that was never written is
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

// eachBlock reads the first blocks of a partition; data is nil for one that cannot be
// read. The error is take's or the context's.
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

// readBlocks fills a buffer with the blocks from start on and hands them over, nil for one
// that cannot be read. The error is take's.
func readBlocks(from io.ReaderAt, start uint64, buffer []byte, take func(i uint64, data []byte) error) error {
	_, unread := from.ReadAt(buffer, int64(start*verity.BlockSize))
	for i := range uint64(len(buffer) / verity.BlockSize) {
		data := buffer[i*verity.BlockSize:][:verity.BlockSize]
		// A bad sector is found by reading again, block by block.
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
