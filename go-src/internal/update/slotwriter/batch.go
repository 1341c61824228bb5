package slotwriter

import "coreos/internal/boot/verity"

// batch collects consecutive blocks, to write them at once.
type batch struct {
	content *content
	start   uint64
	data    []byte
}

func (b *batch) end() uint64 { return b.start + uint64(len(b.data)/verity.BlockSize) }

// put adds a block. It copies data.
func (b *batch) put(block uint64, data []byte) error {
	c := b.content
	c.places.Done(block)
	if block == 0 && c.sealed {
		c.first = append([]byte(nil), data...)
		return nil
	}
	if block != b.end() || len(b.data) == chunkBlocks*verity.BlockSize {
		if err := b.flush(); err != nil {
			return err
		}
		b.start = block
	}
	b.data = append(b.data, data...)
	return nil
}

func (b *batch) flush() error {
	if len(b.data) == 0 {
		return nil
	}
	c := b.content
	if _, err := c.to.WriteAt(b.data, int64(b.start*verity.BlockSize)); err != nil {
		return err
	}
	if c.written += len(b.data) / verity.BlockSize; c.written >= syncBlocks {
		c.written = 0
		if err := c.to.Sync(); err != nil {
			return err
		}
	}
	b.start, b.data = b.end(), b.data[:0]
	return nil
}
