package install

import (
	"context"
	"crypto/sha256"
	"io"

	"coreos/internal/delta"
	"coreos/internal/verity"
)

// chunkBlocks is how many blocks are read and written at a time.
const chunkBlocks = 256

// leaves are the hashes of what a partition holds; those of unreadable blocks are zero,
// which no block's is.
type leaves []verity.Hash

// Leaf is for delta.Leaves.
func (l leaves) Leaf(block uint64) verity.Hash { return l[block] }

// survey hashes the first blocks of a partition.
func survey(ctx context.Context, from io.ReaderAt, blocks uint64) (delta.Source, error) {
	found := make(leaves, blocks)
	err := eachBlock(ctx, from, blocks, func(block uint64, data []byte) {
		if data != nil {
			found[block] = sha256.Sum256(data)
		}
	})
	return delta.Source{Leaves: found, Blocks: blocks}, err
}

// eachBlock reads the first blocks of a partition; data is nil for one that cannot be
// read. The error is the context's.
func eachBlock(ctx context.Context, from io.ReaderAt, blocks uint64, take func(block uint64, data []byte)) error {
	buffer := make([]byte, min(chunkBlocks, blocks)*verity.BlockSize)
	for start := uint64(0); start < blocks; start += chunkBlocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(chunkBlocks, blocks-start)
		chunk := buffer[:n*verity.BlockSize]
		_, err := from.ReadAt(chunk, int64(start*verity.BlockSize))
		for i := range n {
			data := chunk[i*verity.BlockSize:][:verity.BlockSize]
			// A bad sector is found by reading again, block by block.
			if err != nil {
				if _, err := from.ReadAt(data, int64((start+i)*verity.BlockSize)); err != nil {
					data = nil
				}
			}
			take(start+i, data)
		}
	}
	return nil
}
