package delta

import (
	"encoding/binary"
	"math/bits"

	"coreos/internal/boot/verity"
)

// known finds blocks by their hashes: a table with open addressing, whose places are the
// hashes' first bits, and whose entries are four bytes. A map takes ten times the memory.
type known struct {
	sources []Source
	// entries are numbers of blocks, counted through all sources from 1 on; 0 is free.
	entries []uint32
}

func index(sources []Source) known {
	var blocks uint64
	for _, source := range sources {
		blocks += source.Blocks
	}
	// At least half of the table is free, so that a search is short.
	k := known{sources, make([]uint32, 1<<bits.Len64(2*blocks))}
	number := uint32(0)
	for _, source := range sources {
		for block := range source.Blocks {
			number++
			// The first source that has a block is the preferred one.
			if at, ok := k.search(source.Leaf(block)); !ok {
				k.entries[at] = number
			}
		}
	}
	return k
}

// search returns the entry of a hash, or where it belongs.
func (k known) search(hash verity.Hash) (at uint64, ok bool) {
	mask := uint64(len(k.entries) - 1)
	for at = binary.LittleEndian.Uint64(hash[:]) & mask; k.entries[at] != 0; at = (at + 1) & mask {
		if place := k.place(k.entries[at]); k.sources[place.Source].Leaf(place.Block) == hash {
			return at, true
		}
	}
	return at, false
}

// place is where the block with a number is.
func (k known) place(number uint32) Place {
	block := uint64(number - 1)
	source := 0
	for block >= k.sources[source].Blocks {
		block -= k.sources[source].Blocks
		source++
	}
	return Place{Source: source, Block: block}
}

func (k known) find(hash verity.Hash) (Place, bool) {
	at, ok := k.search(hash)
	if !ok {
		return Place{}, false
	}
	return k.place(k.entries[at]), true
}
