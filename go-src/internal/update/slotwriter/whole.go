package slotwriter

import (
	"context"
	"errors"
	"io"

	"coreos/internal/update/delta"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// errComplete says that no block is missing any more, so that the rest of the whole stream
// is not needed.
var errComplete = errors.New("no block is missing")

// fetchWhole downloads the whole stream for the missing blocks. It is read from its start
// each time; blocks that are in their place are skipped.
func (c *content) fetchWhole(ctx context.Context) error {
	name, size := release.WholeFile(c.name), c.want.Whole.Size
	err := c.readWhole(c.job.openParts(ctx, name, size))
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	file, err := c.job.Files.Open(ctx, name)
	if err != nil {
		return err
	}
	return c.readWhole(struct {
		io.Reader
		io.Closer
	}{&counter{io.LimitReader(file, size), c.job}, file})
}

// readWhole reads the stream up to the last missing block, and closes it. Blocks before an
// error are kept.
func (c *content) readWhole(stream io.ReadCloser) error {
	defer stream.Close()
	out := &batch{content: c}
	take := c.take(release.WholeFile(c.name), out)
	missing := c.places.Count(delta.Missing)
	err := payload.ReadWhole(stream, c.want.Blocks, func(block uint64, data []byte) error {
		if c.places.Place(block).Source != delta.Missing {
			return nil
		}
		err := take(block, data)
		if missing--; err == nil && missing == 0 {
			err = errComplete
		}
		return err
	})
	if errors.Is(err, errComplete) {
		err = nil
	}
	return errors.Join(wrongBytes(err), out.flush())
}
