// Package payload compresses a /usr in two forms. A machine downloads the one that is
// smaller for it:
//
//   - a payload, from which each block can be downloaded by itself: zstd's seekable format
//     (https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md),
//     with frames of FrameBlocks blocks;
//   - a whole stream, which is a third smaller, for all blocks: one zstd frame with all
//     chunks of ChunkBlocks blocks, similar ones beside each other, after a skippable frame
//     that has their order.
//
// `zstd -d` unpacks both, the chunks of a stream in its order.
//
// The content of such a file is not trusted: an Index is checked against the size in the
// signed manifest, a window against MaxWindow, and the caller checks each block against
// its hash.
package payload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	seekable "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"

	"coreos/internal/boot/verity"
	"coreos/internal/update/delta"
)

// FrameBlocks is the number of blocks in a frame. It is small, so that few blocks are
// downloaded with a wanted one.
const FrameBlocks = 4

const frameSize = FrameBlocks * verity.BlockSize

// ErrFormat is in the chain of each error about a file that is not a valid payload.
var ErrFormat = errors.New("not a valid payload")

// Write compresses a /usr of whole blocks with concurrency processors. The result does not
// depend on their number.
func Write(ctx context.Context, w io.Writer, usr io.Reader, concurrency int) error {
	// The best level takes seven times as long and saves 2 % of the size.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(frameSize),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	defer encoder.Close()
	out, err := seekable.NewWriter(w, encoder)
	if err != nil {
		return fmt.Errorf("seekable zstd: %w", err)
	}
	in := bufio.NewReaderSize(usr, 64*frameSize)
	err = out.WriteMany(ctx, func() ([]byte, error) {
		frame := make([]byte, frameSize)
		n, err := io.ReadFull(in, frame)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil, err
		case n%verity.BlockSize != 0:
			return nil, fmt.Errorf("%d bytes after the last whole block", n%verity.BlockSize)
		}
		return frame[:n], nil
	}, seekable.WithConcurrency(concurrency))
	return errors.Join(err, out.Close())
}

// Index has the position of each block in a payload.
type Index struct {
	table  *seekable.SeekTable
	blocks uint64
}

// IndexSize returns the size in bytes of the index at the end of a payload with a number of
// blocks.
func IndexSize(blocks uint64) int64 {
	const header, entry, footer = 8, 12, 9 // a skippable frame's header; sizes and checksum; the table's own footer
	return header + entry*int64(frames(blocks)) + footer
}

func frames(blocks uint64) uint64 { return (blocks + FrameBlocks - 1) / FrameBlocks }

// ReadIndex parses the last IndexSize bytes of a payload of size bytes, and checks that
// they describe that many blocks and bytes.
func ReadIndex(b []byte, blocks uint64, size int64) (*Index, error) {
	if int64(len(b)) != IndexSize(blocks) {
		return nil, fmt.Errorf("%w: an index of %d bytes for %d blocks, want %d", ErrFormat, len(b), blocks, IndexSize(blocks))
	}
	table, err := seekable.NewSeekTable(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	x := &Index{table, blocks}
	var end uint64
	for n := range frames(blocks) {
		frame, ok := table.EntryByID(int64(n))
		want := min(FrameBlocks, blocks-n*FrameBlocks) * verity.BlockSize
		// zstd adds only a few bytes to data that it cannot compress.
		if !ok || uint64(frame.DecompressedSize) != want || frame.CompressedOffset != end ||
			frame.CompressedSize == 0 || uint64(frame.CompressedSize) > want+64 {
			return nil, fmt.Errorf("%w: frame %d of its index", ErrFormat, n)
		}
		end += uint64(frame.CompressedSize)
	}
	if table.NumFrames() != int64(frames(blocks)) || int64(end)+int64(len(b)) != size {
		return nil, fmt.Errorf("%w: its index describes %d bytes of %d", ErrFormat, end+uint64(len(b)), size)
	}
	return x, nil
}

// Span is a range of whole frames that is downloaded at once.
type Span struct {
	Offset, Length int64
	// first and last frame
	first, last uint64
}

// Spans returns the spans with the blocks of the runs, which must be in ascending order. It
// joins spans with at most gap bytes between them. A span has at most limit bytes, or one
// frame.
func (x *Index) Spans(runs iter.Seq[delta.Run], gap, limit int64) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		var span Span
		for run := range runs {
			for n := run.Start / FrameBlocks; n <= (run.End()-1)/FrameBlocks; n++ {
				frame, _ := x.table.EntryByID(int64(n))
				start, end := int64(frame.CompressedOffset), int64(frame.CompressedOffset)+int64(frame.CompressedSize)
				switch {
				case span.Length > 0 && n <= span.last:
					continue // the previous run ended in this frame
				case span.Length > 0 && start-(span.Offset+span.Length) <= gap && end-span.Offset <= limit:
					span.Length, span.last = end-span.Offset, n
					continue
				case span.Length > 0 && !yield(span):
					return
				}
				span = Span{start, end - start, n, n}
			}
		}
		if span.Length > 0 {
			yield(span)
		}
	}
}

// Decoder unpacks spans with limited memory.
type Decoder struct {
	zstd *zstd.Decoder
	to   []byte
}

// NewDecoder returns a Decoder, which the caller closes.
func NewDecoder() (*Decoder, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(frameSize), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Decoder{zstd: decoder}, nil
}

// Close frees the decoder.
func (d *Decoder) Close() { d.zstd.Close() }

// Decode unpacks a span and calls take for each block in it, also for those that are not
// wanted. data is valid until take returns. An error of take ends Decode.
func (d *Decoder) Decode(x *Index, span Span, packed []byte, take func(block uint64, data []byte) error) error {
	for n := span.first; n <= span.last; n++ {
		frame, _ := x.table.EntryByID(int64(n))
		if uint32(len(packed)) < frame.CompressedSize {
			return fmt.Errorf("%w: a span ends within frame %d", ErrFormat, n)
		}
		var err error
		if d.to, err = d.zstd.DecodeAll(packed[:frame.CompressedSize], d.to[:0]); err != nil {
			return fmt.Errorf("%w: frame %d: %w", ErrFormat, n, err)
		}
		packed = packed[frame.CompressedSize:]
		if len(d.to) != int(frame.DecompressedSize) {
			return fmt.Errorf("%w: frame %d has %d bytes, want %d", ErrFormat, n, len(d.to), frame.DecompressedSize)
		}
		for i := 0; i < len(d.to); i += verity.BlockSize {
			if err := take(n*FrameBlocks+uint64(i/verity.BlockSize), d.to[i:i+verity.BlockSize]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Stream unpacks a payload of a number of blocks while it is read, and calls take for each
// block as Decode does.
func Stream(from io.Reader, blocks uint64, take func(block uint64, data []byte) error) error {
	return read(from, frameSize, blocks, take)
}

// read unpacks zstd frames whose windows have at most window bytes. It returns an error of
// from unchanged.
func read(from io.Reader, window, blocks uint64, take func(block uint64, data []byte) error) error {
	source := &source{from: from}
	decoder, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	defer decoder.Close()
	data := make([]byte, verity.BlockSize)
	for block := range blocks {
		_, err := io.ReadFull(decoder, data)
		switch {
		case source.err != nil:
			return source.err
		case err != nil:
			return fmt.Errorf("%w: block %d: %w", ErrFormat, block, err)
		}
		if err := take(block, data); err != nil {
			return err
		}
	}
	return nil
}

// source records the error of a reader, since the error of the decoder says less.
type source struct {
	from io.Reader
	err  error // unless it is io.EOF
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
