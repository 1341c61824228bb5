// Package patch makes the new blocks of a version of /usr from the blocks of an older
// version. A repository has patches for the few versions that most machines come from;
// machines on other versions take the blocks from the payload. A changed block is nearly
// always similar to the block before the change, so a patch is less than half as long as
// the changed blocks of the payload.
//
// The blocks that the newer version has and the older version lacks, in ascending order,
// are divided into segments. A segment has at most SegmentBlocks blocks, and all are less
// than DictionaryBlocks after the first. Each segment is a zstd frame whose raw dictionary
// is DictionaryBlocks blocks of the older version, or fewer at its end. The index at the
// start of the file has eight bytes for each segment: two 32-bit little-endian numbers, the
// first block of the dictionary and the length of the frame. Both sides compute from the
// hash trees how many segments there are and which blocks they make.
//
// The content of a patch is not trusted: the receiver verifies every block.
package patch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
)

const (
	// SegmentBlocks is the largest number of blocks that a segment makes, and
	// DictionaryBlocks the number of blocks in its dictionary. Larger numbers gain little
	// and take more memory.
	SegmentBlocks    = 128
	DictionaryBlocks = 512
)

const entrySize = 8

// Errors of this package.
var (
	// ErrFormat is in the chain of each error about a file that is not a valid patch.
	ErrFormat = errors.New("not a valid patch")
	// ErrTooLarge says that a patch would be too large to be useful.
	ErrTooLarge = errors.New("the versions have too little in common for a patch")
)

// Version is a version of /usr.
type Version struct {
	*verity.Tree
	Data io.ReaderAt
}

// Segment is a part of a patch. It is at Offset in the file.
type Segment struct {
	Offset, Length int64
	// Blocks are the numbers of the blocks that it makes, in ascending order.
	Blocks []uint64
	// dictionary is the first block of the older version in its dictionary.
	dictionary uint64
}

// compare returns for each block of newer whether older has it, and where.
func compare(newer, older *verity.Tree) *delta.Plan {
	source := func(t *verity.Tree) delta.Source { return delta.Source{Leaves: t, Blocks: t.Blocks} }
	return delta.New(source(newer), delta.Source{}, source(older))
}

// segments returns the segments between two versions, without their offsets.
func segments(plan *delta.Plan) []Segment {
	var all []Segment
	for run := range plan.Missing() {
		for block := run.Start; block < run.End(); block++ {
			n := len(all) - 1
			if n < 0 || len(all[n].Blocks) == SegmentBlocks || block-all[n].Blocks[0] >= DictionaryBlocks {
				all, n = append(all, Segment{}), n+1
			}
			all[n].Blocks = append(all[n].Blocks, block)
		}
	}
	return all
}

// Write writes the patch that makes newer from older. If it would have more than most
// bytes, Write returns ErrTooLarge and writes nothing.
func Write(ctx context.Context, w io.Writer, newer, older Version, most int64) error {
	index, packed, size := []byte{}, [][]byte{}, int64(0)
	plan := compare(newer.Tree, older.Tree)
	positions := alignment(plan, newer.Blocks, older.Blocks)
	for _, s := range segments(plan) {
		if err := ctx.Err(); err != nil {
			return err
		}
		middle := (positions[s.Blocks[0]] + positions[s.Blocks[len(s.Blocks)-1]]) / 2
		s.dictionary = middle - min(middle, DictionaryBlocks/2)
		frame, err := s.encode(newer, older)
		if err != nil {
			return err
		}
		index = binary.LittleEndian.AppendUint32(index, uint32(s.dictionary))
		index = binary.LittleEndian.AppendUint32(index, uint32(len(frame)))
		packed = append(packed, frame)
		if size += int64(len(frame)) + entrySize; size > most {
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
		}
	}
	for _, part := range append([][]byte{index}, packed...) {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write a patch: %w", err)
		}
	}
	return nil
}

// alignment returns for each block of the newer version the block of the older version that
// it is probably made from: unchanged blocks show how far their neighbours have moved.
func alignment(plan *delta.Plan, newer, older uint64) []uint64 {
	positions := make([]uint64, newer)
	var last, moved int64
	for block := range newer {
		// A block that moved far occurs everywhere, or belongs to a file that moved.
		if place := plan.Place(block); place.Source == 0 {
			at := int64(place.Block)
			if jump := at - int64(block) - moved; at >= last && max(jump, -jump) < 4*DictionaryBlocks {
				last, moved = at, at-int64(block)
			}
		}
		positions[block] = uint64(min(max(int64(block)+moved, 0), int64(older-1)))
	}
	return positions
}

// readDictionary returns the dictionary of a segment.
func (s Segment) readDictionary(older io.ReaderAt, blocks uint64) ([]byte, error) {
	if s.dictionary >= blocks {
		return nil, fmt.Errorf("%w: a dictionary from block %d of %d", ErrFormat, s.dictionary, blocks)
	}
	dictionary := make([]byte, min(DictionaryBlocks, blocks-s.dictionary)*verity.BlockSize)
	if _, err := older.ReadAt(dictionary, int64(s.dictionary*verity.BlockSize)); err != nil {
		return nil, fmt.Errorf("read the older version: %w", err)
	}
	return dictionary, nil
}

func (s Segment) encode(newer, older Version) ([]byte, error) {
	dictionary, err := s.readDictionary(older.Data, older.Blocks)
	if err != nil {
		return nil, err
	}
	data := make([]byte, len(s.Blocks)*verity.BlockSize)
	for i, block := range s.Blocks {
		if _, err := newer.Data.ReadAt(data[i*verity.BlockSize:][:verity.BlockSize], int64(block*verity.BlockSize)); err != nil {
			return nil, fmt.Errorf("read the newer version: %w", err)
		}
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(0, dictionary), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(4<<20), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(data, nil), nil
}

// Index has the segments of a patch with their offsets.
type Index struct {
	Segments []Segment
	older    uint64 // blocks
}

// NewIndex returns the index of the patch between two versions. Read completes it.
func NewIndex(newer, older *verity.Tree) *Index {
	return &Index{segments(compare(newer, older)), older.Blocks}
}

// Size returns the size of the index in bytes.
func (x *Index) Size() int64 { return int64(len(x.Segments)) * entrySize }

// Read reads the index from its bytes; size is the size of the file.
func (x *Index) Read(b []byte, size int64) error {
	end := x.Size()
	for i := range x.Segments {
		s := &x.Segments[i]
		s.dictionary = uint64(binary.LittleEndian.Uint32(b[i*entrySize:]))
		s.Offset, s.Length = end, int64(binary.LittleEndian.Uint32(b[i*entrySize+4:]))
		// Data that cannot be compressed grows by a few bytes.
		if s.Length > SegmentBlocks*(verity.BlockSize+64) {
			return fmt.Errorf("%w: a segment of %d bytes", ErrFormat, s.Length)
		}
		end += s.Length
	}
	if end != size {
		return fmt.Errorf("%w: its index describes %d bytes of %d", ErrFormat, end, size)
	}
	return nil
}

// Decode makes the blocks of a segment from its compressed bytes and the older version, and
// calls take for each. data is valid until take returns. An error of take ends it.
func (x *Index) Decode(s Segment, packed []byte, older io.ReaderAt, take func(block uint64, data []byte) error) error {
	dictionary, err := s.readDictionary(older, x.older)
	if err != nil {
		return err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(0, dictionary), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(SegmentBlocks*verity.BlockSize), zstd.WithDecoderMaxWindow(4<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	defer decoder.Close()
	data, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(data) != len(s.Blocks)*verity.BlockSize {
		return fmt.Errorf("%w: a segment makes %d bytes, want %d blocks", ErrFormat, len(data), len(s.Blocks))
	}
	for i, block := range s.Blocks {
		if err := take(block, data[i*verity.BlockSize:][:verity.BlockSize]); err != nil {
			return err
		}
	}
	return nil
}
