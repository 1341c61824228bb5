// Package verity opens the /usr of a slot: an EROFS file system followed, in the same
// partition, by its dm-verity hash tree.
//
// The tree has the format 1 of dm-verity with SHA-256, blocks of 4,096 bytes and no salt,
// so that equal blocks have the same hash in every release. One block with the superblock
// of veritysetup is between the data and the tree; it is neither read nor trusted.
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

// maxBlocks is the limit of data blocks: 2^32 blocks are 16 TiB.
const maxBlocks = 1 << 32

// ErrMismatch says that a hash tree does not match the root hash.
var ErrMismatch = errors.New("the hash tree does not match the root hash")

// Root identifies the content of a /usr.
type Root struct {
	Hash   [sha256.Size]byte
	Blocks uint64 // of data
}

// ParseRoot parses a root hash in hexadecimal and checks the number of blocks.
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

// treeStart returns the number of the first block of the tree, which is its top.
func (r Root) treeStart() uint64 { return r.Blocks + 1 }

// Check compares the tree's top block on the partition with the root hash. It finds a slot
// that was never written, or was overwritten, before the kernel uses it, which would panic.
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

// Open maps the partition at path as the read-only device /dev/mapper/name and returns the
// path of the device. The kernel verifies each block that it reads. It panics on a wrong
// one, so that the machine restarts into the next try or slot and never runs with wrong
// data.
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
