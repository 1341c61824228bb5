// Package payload keeps a /usr in two files, of which a machine reads the one that costs it
// less:
//
//   - a payload, from which any block can be fetched by itself: zstd's seekable format
//     (https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md),
//     every frame FrameBlocks blocks long;
//   - a whole stream: one zstd frame, a third smaller, for who needs all blocks.
//
// `zstd -d` reads either.
//
// Nothing in such a file is trusted: an Index is checked against the size that a
// signed manifest states, a window against MaxWindow, and each block against its hash by
// whoever receives it.
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

// FrameBlocks is how many blocks one frame has: few, so that a block that is wanted brings
// few others along.
const FrameBlocks = 4

const frameSize = FrameBlocks * verity.BlockSize

// ErrFormat is in the chain of every error about a payload that is not one.
var ErrFormat = errors.New("not a payload")

// Write compresses a /usr, whole blocks up to its end, with as many processors as
// concurrency says. The result does not depend on that.
func Write(ctx context.Context, w io.Writer, usr io.Reader, concurrency int) error {
	// The best level takes seven times as long for 2 % of the size.
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
			return nil, fmt.Errorf("%d bytes behind the last whole block", n%verity.BlockSize)
		}
		return frame[:n], nil
	}, seekable.WithConcurrency(concurrency))
	return errors.Join(err, out.Close())
}

// Index says where in a payload each block is.
type Index struct {
	table  *seekable.SeekTable
	blocks uint64
}

// IndexSize returns the size in bytes of the index at the end of the payload of a
// /usr with so many blocks.
func IndexSize(blocks uint64) int64 {
	const header, entry, footer = 8, 12, 9 // a skippable frame's header; sizes and checksum; the table's own footer
	return header + entry*int64(frames(blocks)) + footer
}

func frames(blocks uint64) uint64 { return (blocks + FrameBlocks - 1) / FrameBlocks }

// ReadIndex reads the last IndexSize bytes of a payload of size bytes and checks that
// they describe that many blocks in that many bytes.
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
		// zstd needs at most a few bytes more than what it cannot compress.
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

// Span is a part of a payload to be fetched in one piece: whole frames.
type Span struct {
	Offset, Length int64
	// first and last frame
	first, last uint64
}

// Spans returns what must be fetched to get the runs, which ascend. Parts with at most
// gap bytes between them are fetched together; no span is longer than limit bytes
// unless one frame is.
func (x *Index) Spans(runs iter.Seq[delta.Run], gap, limit int64) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		var span Span
		for run := range runs {
			for n := run.Start / FrameBlocks; n <= (run.End()-1)/FrameBlocks; n++ {
				frame, _ := x.table.EntryByID(int64(n))
				start, end := int64(frame.CompressedOffset), int64(frame.CompressedOffset)+int64(frame.CompressedSize)
				switch {
				case span.Length > 0 && n <= span.last:
					continue // the run before ended in this frame
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

// Decoder unpacks spans. It takes little memory, whatever it is given.
type Decoder struct {
	zstd *zstd.Decoder
	to   []byte
}

// NewDecoder returns a Decoder, to be closed.
func NewDecoder() (*Decoder, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(frameSize), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Decoder{zstd: decoder}, nil
}

// Close frees the decoder.
func (d *Decoder) Close() { d.zstd.Close() }

// Decode unpacks a span and hands over its blocks, also those that lie between wanted
// ones. data is valid until take returns, whose error ends it.
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

// Stream unpacks a whole payload as it comes and hands over its blocks, so many that
// blocks says, as Decode does.
func Stream(from io.Reader, blocks uint64, take func(block uint64, data []byte) error) error {
	return read(from, frameSize, blocks, take)
}

// read unpacks zstd frames whose windows are no larger than window. An error of from is
// returned as it is.
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

// source keeps the error of a reader, which says more than what a decoder makes of it.
type source struct {
	from io.Reader
	err  error // but for io.EOF
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
