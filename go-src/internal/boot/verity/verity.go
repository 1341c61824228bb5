// Package verity opens a slot's /usr: an EROFS file system followed, in the same
// partition, by its dm-verity hash tree.
//
// The tree has dm-verity's format 1 with SHA-256, blocks of 4,096 bytes and no
// salt, so that a block's hash is the same in every release. One block with
// veritysetup's superblock lies between the data and the tree; nothing in it is
// trusted or read here.
package verity

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/anatol/devmapper.go"
	"golang.org/x/sys/unix"
)

// BlockSize is the size of data and hash blocks in bytes.
const BlockSize = 4096

// maxBlocks bounds the data: 2^32 blocks are 16 TiB.
const maxBlocks = 1 << 32

// ErrMismatch says that a hash tree is not the one of the root hash.
var ErrMismatch = errors.New("hash tree does not match the root hash")

// Root names one content of /usr.
type Root struct {
	Hash   [sha256.Size]byte
	Blocks uint64 // of data
}

// ParseRoot reads a root hash in hexadecimal and checks the number of blocks.
func ParseRoot(hash string, blocks uint64) (Root, error) {
	root := Root{Blocks: blocks}
	digest, err := hex.DecodeString(hash)
	if err != nil || len(digest) != sha256.Size {
		return Root{}, fmt.Errorf("bad root hash %q: want %d hexadecimal digits", hash, 2*sha256.Size)
	}
	copy(root.Hash[:], digest)
	if blocks == 0 || blocks > maxBlocks {
		return Root{}, fmt.Errorf("bad number of /usr blocks %d", blocks)
	}
	return root, nil
}

// treeStart is the number of the tree's first block: its top.
func (r Root) treeStart() uint64 { return r.Blocks + 1 }

// Check reads the tree's top block from the partition and compares it with the
// root hash. It tells a slot that was never written, or was overwritten, from a
// good one before the kernel is asked to use it, which would panic.
func (r Root) Check(partition io.ReaderAt) error {
	block := make([]byte, BlockSize)
	if _, err := partition.ReadAt(block, int64(r.treeStart()*BlockSize)); err != nil {
		return fmt.Errorf("read the hash tree: %w", err)
	}
	if sha256.Sum256(block) != r.Hash {
		return ErrMismatch
	}
	return nil
}

// Open maps the partition at path as the read-only device /dev/mapper/name and
// returns its path. The kernel verifies each block that is read; a wrong one
// makes it panic, so that the machine restarts into its next try or slot and
// never runs on with wrong bytes.
func (r Root) Open(path, name string) (string, error) {
	table := devmapper.VerityTable{
		Length:         r.Blocks * BlockSize,
		HashType:       1,
		DataDevice:     path,
		HashDevice:     path,
		DataBlockSize:  BlockSize,
		HashBlockSize:  BlockSize,
		NumDataBlocks:  r.Blocks,
		HashStartBlock: r.treeStart(),
		Algorithm:      "sha256",
		Digest:         hex.EncodeToString(r.Hash[:]),
		Salt:           "-",
		Params:         []string{"1", "panic_on_corruption"},
	}
	if err := devmapper.CreateAndLoad(name, "", devmapper.ReadOnlyFlag, table); err != nil {
		return "", fmt.Errorf("dm-verity on %s: %w", path, err)
	}
	info, err := devmapper.InfoByName(name)
	if err != nil {
		return "", fmt.Errorf("dm-verity device %s: %w", name, err)
	}
	return fmt.Sprintf("/dev/dm-%d", unix.Minor(info.DevNo)), nil
}
