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

// MaxWindow is the largest window in bytes that a whole stream may have. A reader holds a
// window in memory, and a machine has little memory for its updates.
const MaxWindow = 1 << windowLog

const windowLog = 23

// Effort says how much time the compression of a whole stream may take.
type Effort string

// The efforts.
const (
	// Fast takes seconds, for a build that its maker tries at once.
	Fast Effort = "fast"
	// Best takes minutes, for a release that many machines fetch. It needs zstd(1).
	Best Effort = "best"
)

// ParseEffort returns the effort with a name.
func ParseEffort(name string) (Effort, error) {
	if e := Effort(name); e == Fast || e == Best {
		return e, nil
	}
	return "", fmt.Errorf("compression %.40q: want %s or %s", name, Fast, Best)
}

// WriteWhole compresses a /usr as one zstd frame, to be read from its start to its end.
// The result depends on the effort, and not on the number of processors.
func WriteWhole(ctx context.Context, w io.Writer, usr io.Reader, effort Effort) error {
	if effort == Best {
		return writeBest(ctx, w, usr)
	}
	encoder, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(MaxWindow),
		zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	_, err = io.Copy(encoder, contextReader{ctx, usr})
	return errors.Join(err, encoder.Close())
}

// writeBest has zstd(1) do it: no library of ours compresses as well. The checksum is left
// out because readers compare each block with its hash.
func writeBest(ctx context.Context, w io.Writer, usr io.Reader) error {
	var message bytes.Buffer
	command := exec.CommandContext(ctx, "zstd", "--quiet", "-19", "--long="+strconv.Itoa(windowLog), "--threads=0", "--no-check", "--stdout")
	command.Stdin, command.Stdout, command.Stderr = usr, w, &message
	if err := command.Run(); err != nil {
		return fmt.Errorf("compress with zstd(1): %w: %s", err, bytes.TrimSpace(message.Bytes()))
	}
	return nil
}

// contextReader ends with its context.
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

// ReadWhole unpacks a whole stream as it comes and hands over its blocks, so many that
// blocks says, as Decode does. ErrFormat is the error about a stream that is none, or
// whose window is larger than MaxWindow.
func ReadWhole(from io.Reader, blocks uint64, take func(block uint64, data []byte) error) error {
	return read(from, MaxWindow, blocks, take)
}
