// Package delta finds out how a machine gets the blocks of a new /usr: which are at
// their place already, which it has elsewhere, and which must be fetched. The hash
// trees of dm-verity are all it needs, so that any version leads to any other and no
// server prepares anything for a pair of them.
package delta

import (
	"encoding/binary"
	"iter"

	"coreos/internal/boot/verity"
)

// Leaves is a list of the hashes of a content's blocks, such as a verity.Tree.
type Leaves interface {
	Leaf(block uint64) verity.Hash
}

// Source is something that the machine has and can copy blocks from.
type Source struct {
	Leaves
	Blocks uint64
}

// Run is a row of blocks.
type Run struct {
	Start, Count uint64
}

// End is the first block after the run.
func (r Run) End() uint64 { return r.Start + r.Count }

// Place says where a block of the new content is.
type Place struct {
	// Source is the number of the source that has it, InPlace or Missing.
	Source int
	// Block is its number there.
	Block uint64
}

// Values of Place.Source that are not a source's number.
const (
	InPlace = -1
	Missing = -2
)

// Plan says of every block of a new content where it comes from.
type Plan struct {
	places []Place
}

// New plans the way to target. Sources come in the order in which they are preferred;
// destination is what the slot to be written holds now.
func New(target Source, destination Source, sources ...Source) *Plan {
	known := index(sources)
	plan := &Plan{places: make([]Place, target.Blocks)}
	for block := range target.Blocks {
		want := target.Leaf(block)
		switch place, ok := known.find(want); {
		case block < destination.Blocks && destination.Leaf(block) == want:
			plan.places[block] = Place{Source: InPlace, Block: block}
		case ok:
			plan.places[block] = place
		default:
			plan.places[block] = Place{Source: Missing}
		}
	}
	return plan
}

// known finds blocks by the start of their hashes, which takes a third of the memory
// that whole ones would; the rest of the hash is compared in the source.
type known struct {
	sources []Source
	places  map[uint64]Place
}

func index(sources []Source) known {
	var blocks uint64
	for _, source := range sources {
		blocks += source.Blocks
	}
	k := known{sources, make(map[uint64]Place, blocks)}
	for n, source := range sources {
		for block := range source.Blocks {
			// Two hashes of one key do not happen; if they did, one block
			// more would be fetched.
			start := key(source.Leaf(block))
			if _, ok := k.places[start]; !ok {
				k.places[start] = Place{Source: n, Block: block}
			}
		}
	}
	return k
}

func key(hash verity.Hash) uint64 { return binary.LittleEndian.Uint64(hash[:]) }

func (k known) hash(p Place) verity.Hash { return k.sources[p.Source].Leaf(p.Block) }

func (k known) find(hash verity.Hash) (Place, bool) {
	place, ok := k.places[key(hash)]
	return place, ok && k.hash(place) == hash
}

// Place returns where a block comes from.
func (p *Plan) Place(block uint64) Place { return p.places[block] }

// Count returns how many blocks come from a source, or are InPlace or Missing.
func (p *Plan) Count(source int) uint64 {
	var n uint64
	for _, place := range p.places {
		if place.Source == source {
			n++
		}
	}
	return n
}

// Miss says that a block, against the plan, is not where it was thought to be.
func (p *Plan) Miss(block uint64) { p.places[block] = Place{Source: Missing} }

// Done says that a block is at its place now.
func (p *Plan) Done(block uint64) { p.places[block] = Place{Source: InPlace, Block: block} }

// Missing returns the runs of blocks that must be fetched, in ascending order.
func (p *Plan) Missing() iter.Seq[Run] {
	return func(yield func(Run) bool) {
		var run Run
		for block, place := range p.places {
			if place.Source == Missing {
				if run.Count == 0 {
					run.Start = uint64(block)
				}
				run.Count++
				continue
			}
			if run.Count > 0 && !yield(run) {
				return
			}
			run = Run{}
		}
		if run.Count > 0 {
			yield(run)
		}
	}
}
