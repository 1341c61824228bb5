package payload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// MaxWindow is the size limit of the window of a whole stream in bytes. The reader keeps
// the window in memory, and machines have little memory for updates. A larger window gains
// nothing where similar chunks are beside each other.
const MaxWindow = 1 << windowLog

const windowLog = 22

// Effort says how much time compressing a whole stream may take.
type Effort string

// The efforts.
const (
	// Fast takes seconds. It is for a build that is tried at once.
	Fast Effort = "fast"
	// Best takes minutes. It is for a release that many machines download, and needs
	// zstd(1).
	Best Effort = "best"
)

// ParseEffort returns the effort with a name.
func ParseEffort(name string) (Effort, error) {
	if e := Effort(name); e == Fast || e == Best {
		return e, nil
	}
	return "", fmt.Errorf("compression %.40q: want %s or %s", name, Fast, Best)
}

// WriteWhole compresses a /usr of whole blocks. The result depends on the effort, but not on
// the number of processors. progress, if it is not nil, is called often with the number of
// compressed bytes.
func WriteWhole(ctx context.Context, w io.Writer, usr io.ReaderAt, blocks uint64, effort Effort, progress func(done int64)) error {
	o := ascending(chunksOf(blocks))
	if effort == Best {
		var err error
		if o, err = similarOrder(ctx, usr, blocks); err != nil {
			return fmt.Errorf("compare the parts of /usr: %w", err)
		}
	}
	if _, err := w.Write(o.frame()); err != nil {
		return err
	}
	data := &reported{contextReader{ctx, o.reader(usr, blocks)}, 0, progress}
	if effort == Best {
		return writeBest(ctx, w, data)
	}
	return writeFast(w, data)
}

// reported reports how much has been read.
type reported struct {
	io.Reader
	done   int64
	report func(done int64)
}

func (r *reported) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.done += int64(n); r.report != nil {
		r.report(r.done)
	}
	return n, err
}

func writeFast(w io.Writer, data io.Reader) error {
	encoder, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(MaxWindow),
		zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	_, err = io.Copy(encoder, data)
	return errors.Join(err, encoder.Close())
}

// writeBest runs zstd(1), which compresses better than our library. It leaves out the
// checksum, since readers check the hash of each block.
func writeBest(ctx context.Context, w io.Writer, data io.Reader) error {
	var message bytes.Buffer
	command := exec.CommandContext(ctx, "zstd", "--quiet", "-19", "--long="+strconv.Itoa(windowLog), "--threads=0", "--no-check", "--stdout")
	command.Stdin, command.Stdout, command.Stderr = data, w, &message
	if err := command.Run(); err != nil {
		return fmt.Errorf("compress with zstd(1): %w: %s", err, bytes.TrimSpace(message.Bytes()))
	}
	return nil
}

// contextReader fails when its context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// ReadWhole unpacks a whole stream of a number of blocks while it is read, and calls take
// for each block as Decode does, in the order of the stream. It returns ErrFormat if the
// stream is not valid or its window is larger than MaxWindow.
func ReadWhole(from io.Reader, blocks uint64, take func(block uint64, data []byte) error) error {
	o, err := readOrder(from, blocks)
	if err != nil {
		return err
	}
	return read(from, MaxWindow, blocks, func(place uint64, data []byte) error { return take(o.block(place), data) })
}
