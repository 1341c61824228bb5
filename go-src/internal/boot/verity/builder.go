package verity

import "crypto/sha256"

// Builder makes a tree from the hashes of the blocks, which come in any order. It takes the
// memory of the tree.
type Builder struct {
	tree *Tree
}

// NewBuilder returns a Builder of the tree of a number of blocks, at least one.
func NewBuilder(blocks uint64) *Builder {
	root := Root{Blocks: blocks}
	tree := &Tree{Root: root, bytes: make([]byte, root.TreeSize())}
	levels := root.levels()
	tree.leaves = len(tree.bytes) - int(levels[len(levels)-1]*BlockSize)
	return &Builder{tree}
}

// SetLeaf sets the hash of a block.
func (b *Builder) SetLeaf(block uint64, hash Hash) {
	copy(b.tree.bytes[b.tree.leaves+int(block)*sha256.Size:], hash[:])
}

// Tree returns the tree once the hash of each block is set. The caller compares its root
// hash with the one that it expects. The Builder must not be used afterwards.
func (b *Builder) Tree() *Tree {
	levels := b.tree.levels()
	end := b.tree.leaves
	below := b.tree.bytes[end:]
	for i := len(levels) - 2; i >= 0; i-- {
		start := end - int(levels[i]*BlockSize)
		above := b.tree.bytes[start:end]
		for j := 0; j*BlockSize < len(below); j++ {
			hash := sha256.Sum256(below[j*BlockSize:][:BlockSize])
			copy(above[j*sha256.Size:], hash[:])
		}
		below, end = above, start
	}
	b.tree.Hash = sha256.Sum256(b.tree.bytes[:BlockSize])
	return b.tree
}
