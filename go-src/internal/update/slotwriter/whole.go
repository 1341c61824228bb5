package slotwriter

import (
	"context"
	"errors"
	"io"

	"coreos/internal/update/delta"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// errComplete ends the reading of a whole stream before its end.
var errComplete = errors.New("no block is missing any more")

// fetchWhole gets the missing blocks from the whole stream. It has to be read from its
// start: when it is read again, blocks that are at their place are unpacked and left alone.
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

// readWhole reads the stream up to the last missing block, and closes it. What came before
// an error is kept.
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
