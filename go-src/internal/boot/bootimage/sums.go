package bootimage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrMixed says that the files of a boot image are not of one release.
var ErrMixed = errors.New("the files of the boot image are not of one release")

// CheckSums compares slot.sums, in the format of sha256sum(1), with the SHA-256 hashes of the
// other files, by their names. All three have to be in it, and each once.
func CheckSums(text []byte, hashes map[string][sha256.Size]byte) error {
	var want bytes.Buffer
	for _, name := range []string{Config, Kernel, Initramfs} {
		hash, ok := hashes[name]
		if !ok {
			return fmt.Errorf("%w: there is no %s", ErrMixed, name)
		}
		fmt.Fprintf(&want, "%s  %s\n", hex.EncodeToString(hash[:]), name)
	}
	if !bytes.Equal(text, want.Bytes()) {
		return fmt.Errorf("%w: %s has other hashes", ErrMixed, Sums)
	}
	return nil
}
