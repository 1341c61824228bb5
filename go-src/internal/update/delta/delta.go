// Package delta plans how a machine gets each block of a new /usr: whether the block is in
// its place already, can be copied from content that the machine has, or must be
// downloaded. The plan is made from the hash trees of dm-verity alone. So a machine can
// update from any version to any other, and a server prepares nothing for a pair of
// versions.
package delta

import (
	"iter"

	"coreos/internal/boot/verity"
)

// Leaves gives the hash of each block of some content. A verity.Tree does.
type Leaves interface {
	Leaf(block uint64) verity.Hash
}

// Source is content that the machine has and can copy blocks from.
type Source struct {
	Leaves
	Blocks uint64
}

// Run is a sequence of consecutive blocks.
type Run struct {
	Start, Count uint64
}

// End is the first block after the run.
func (r Run) End() uint64 { return r.Start + r.Count }

// Place is where a block of the new content comes from.
type Place struct {
	// Source is the index of the source that has the block, or InPlace or Missing.
	Source int
	// Block is the number of the block in the source.
	Block uint64
}

// Values of Place.Source that are not the index of a source: the block is in its place
// already, or must be downloaded.
const (
	InPlace = -1
	Missing = -2
)

// Plan is where each block of the new content comes from.
type Plan struct {
	places []Place
}

// New plans how the target is made. The sources are in order of preference; destination is
// the content of the slot that is to be written.
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

// NewMissing returns the plan for content whose hashes are not known: all blocks are
// missing.
func NewMissing(blocks uint64) *Plan {
	plan := &Plan{places: make([]Place, blocks)}
	for block := range blocks {
		plan.Miss(block)
	}
	return plan
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

// Miss records that a block is not where the plan says, so that it must be downloaded.
func (p *Plan) Miss(block uint64) { p.places[block] = Place{Source: Missing} }

// Done records that a block is in its place now.
func (p *Plan) Done(block uint64) { p.places[block] = Place{Source: InPlace, Block: block} }

// Missing returns the runs of blocks that must be downloaded, in ascending order.
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
