package payload

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"coreos/internal/boot/verity"
)

// ChunkBlocks is the number of blocks in a chunk of a whole stream. Smaller chunks make the
// stream smaller by 1 %, and the order takes more time.
const ChunkBlocks = 16

const chunkSize = ChunkBlocks * verity.BlockSize

// orderMagic begins the skippable frame with the order of the chunks.
const orderMagic = 0x184D2A5C

func chunksOf(blocks uint64) uint64 { return (blocks + ChunkBlocks - 1) / ChunkBlocks }

// order has the numbers of the chunks of a /usr in the order in which they are in a whole
// stream. The last chunk, which may be shorter, is the last one there, too.
type order []uint32

// ascending returns the order in which the chunks are in /usr.
func ascending(chunks uint64) order {
	o := make(order, chunks)
	for i := range o {
		o[i] = uint32(i)
	}
	return o
}

// block returns the number of the block at a place in the stream.
func (o order) block(place uint64) uint64 {
	return uint64(o[place/ChunkBlocks])*ChunkBlocks + place%ChunkBlocks
}

// frame returns the skippable frame with the order: magic number, size, and 32 bits for each
// chunk, all little-endian.
func (o order) frame() []byte {
	frame := binary.LittleEndian.AppendUint32(nil, orderMagic)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(4*len(o)))
	for _, chunk := range o {
		frame = binary.LittleEndian.AppendUint32(frame, chunk)
	}
	return frame
}

// readOrder reads the frame with the order of the chunks of that many blocks. Each chunk
// must be in it once.
func readOrder(from io.Reader, blocks uint64) (order, error) {
	o := ascending(chunksOf(blocks))
	frame := o.frame()
	got := make([]byte, len(frame))
	source := &source{from: from}
	switch _, err := io.ReadFull(source, got); {
	case source.err != nil:
		return nil, source.err
	case err != nil:
		return nil, fmt.Errorf("%w: the order of its chunks: %w", ErrFormat, err)
	case !slices.Equal(got[:8], frame[:8]):
		return nil, fmt.Errorf("%w: it does not begin with the order of %d chunks", ErrFormat, len(o))
	}
	seen := make([]bool, len(o))
	for i := range o {
		chunk := binary.LittleEndian.Uint32(got[8+4*i:])
		if uint64(chunk) >= uint64(len(o)) || seen[chunk] {
			return nil, fmt.Errorf("%w: chunk %d of %d in its order", ErrFormat, chunk, len(o))
		}
		o[i], seen[chunk] = chunk, true
	}
	if last := len(o) - 1; last >= 0 && o[last] != uint32(last) {
		return nil, fmt.Errorf("%w: its last chunk is not the last one", ErrFormat)
	}
	return o, nil
}

// reader returns a reader of the blocks of a /usr in the order.
func (o order) reader(usr io.ReaderAt, blocks uint64) io.Reader {
	readers := make([]io.Reader, len(o))
	for i, chunk := range o {
		first := uint64(chunk) * ChunkBlocks
		readers[i] = io.NewSectionReader(usr, int64(first*verity.BlockSize), int64(min(ChunkBlocks, blocks-first)*verity.BlockSize))
	}
	return io.MultiReader(readers...)
}
