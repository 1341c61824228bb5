package verity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

// Hash is the SHA-256 of a block.
type Hash = [sha256.Size]byte

// hashesPerBlock is the number of hashes in a block of the tree.
const hashesPerBlock = BlockSize / sha256.Size

// Tree is a hash tree that was verified against its root hash.
type Tree struct {
	Root
	// bytes is the tree in its form on a disk: the top block is first and the leaves are
	// last.
	bytes []byte
	// leaves is the offset of the leaves in bytes.
	leaves int
}

// levels returns the number of blocks of each level of the tree, the top first.
func (r Root) levels() []uint64 {
	var levels []uint64
	for n := r.Blocks; len(levels) == 0 || n > 1; {
		n = (n + hashesPerBlock - 1) / hashesPerBlock
		levels = append([]uint64{n}, levels...)
	}
	return levels
}

// TreeSize returns the size in bytes of the tree, without its superblock.
func (r Root) TreeSize() int64 {
	var blocks uint64
	for _, n := range r.levels() {
		blocks += n
	}
	return int64(blocks * BlockSize)
}

// TreeOffset returns the offset of the tree in the partition, in bytes.
func (r Root) TreeOffset() int64 { return int64(r.treeStart() * BlockSize) }

// ReadTree reads the tree of a root and verifies every hash in it. It returns ErrMismatch
// if the tree does not match the root hash. It takes TreeSize bytes of memory, 1/128 of the
// data.
func (r Root) ReadTree(from io.Reader) (*Tree, error) {
	tree := &Tree{Root: r, bytes: make([]byte, r.TreeSize())}
	if _, err := io.ReadFull(from, tree.bytes); err != nil {
		return nil, fmt.Errorf("read the hash tree: %w", err)
	}
	if sha256.Sum256(tree.bytes[:BlockSize]) != r.Hash {
		return nil, fmt.Errorf("%w: its top", ErrMismatch)
	}
	levels := r.levels()
	for i, blocks := range levels {
		level := tree.bytes[tree.leaves : tree.leaves+int(blocks*BlockSize)]
		hashes := r.Blocks
		if i+1 < len(levels) {
			hashes = levels[i+1]
			tree.leaves += len(level)
			if err := checkLevel(level, tree.bytes[tree.leaves:][:hashes*BlockSize]); err != nil {
				return nil, err
			}
		}
		// The unused rest of the last block of a level is hashed, too.
		if len(bytes.Trim(level[hashes*sha256.Size:], "\x00")) > 0 {
			return nil, fmt.Errorf("%w: a level has more than %d hashes", ErrMismatch, hashes)
		}
	}
	return tree, nil
}

// ReadTreeBehind reads the tree after the data on a partition, as ReadTree does.
func (r Root) ReadTreeBehind(partition io.ReaderAt) (*Tree, error) {
	return r.ReadTree(io.NewSectionReader(partition, r.TreeOffset(), r.TreeSize()))
}

// checkLevel compares the blocks of a level with their hashes in the level above.
func checkLevel(above, below []byte) error {
	for i := 0; i*BlockSize < len(below); i++ {
		if sha256.Sum256(below[i*BlockSize:][:BlockSize]) != Hash(above[i*sha256.Size:][:sha256.Size]) {
			return fmt.Errorf("%w: block %d of a level of %d", ErrMismatch, i, len(below)/BlockSize)
		}
	}
	return nil
}

// NewTree makes the tree of data, which it reads to the end.
func NewTree(data io.Reader) (*Tree, error) {
	leaves, blocks, err := hashBlocks(data)
	if err != nil {
		return nil, err
	}
	if blocks == 0 {
		return nil, fmt.Errorf("a hash tree needs data")
	}
	b := NewBuilder(blocks)
	copy(b.tree.bytes[b.tree.leaves:], leaves)
	return b.Tree(), nil
}

// hashBlocks returns the hashes of the blocks of the data, and their number.
func hashBlocks(data io.Reader) (leaves []byte, blocks uint64, err error) {
	block := make([]byte, BlockSize)
	for {
		switch _, err := io.ReadFull(data, block); err {
		case nil:
			sum := sha256.Sum256(block)
			leaves = append(leaves, sum[:]...)
			blocks++
		case io.EOF:
			return leaves, blocks, nil
		default:
			return nil, 0, fmt.Errorf("read block %d of the data: %w", blocks, err)
		}
	}
}

// Leaf returns the hash of a block of the data.
func (t *Tree) Leaf(block uint64) Hash {
	return Hash(t.bytes[t.leaves+int(block)*sha256.Size:][:sha256.Size])
}

// Superblock returns the block between the data and the tree. It is in veritysetup's format
// (https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity), for tools that expect it.
// The system does not read it.
func (r Root) Superblock() []byte {
	b := make([]byte, 0, BlockSize)
	b = append(b, "verity\x00\x00"...)
	b = binary.LittleEndian.AppendUint32(b, 1) // version
	b = binary.LittleEndian.AppendUint32(b, 1) // hash type
	b = append(b, superblockUUID[:]...)
	b = append(b, "sha256"...)
	b = append(b, make([]byte, 64-len(b))...)
	b = binary.LittleEndian.AppendUint32(b, BlockSize) // of data
	b = binary.LittleEndian.AppendUint32(b, BlockSize) // of hashes
	b = binary.LittleEndian.AppendUint64(b, r.Blocks)
	return b[:BlockSize] // no salt, zeros up to the end
}

// superblockUUID is the UUID that make-slot.sh gives to each tree.
var superblockUUID = [16]byte{14: 0xc0, 15: 0x5e}

// Bytes returns the tree in its form on a disk, where it follows the superblock.
func (t *Tree) Bytes() []byte { return t.bytes }
