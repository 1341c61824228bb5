// Package pemfile reads keys and certificates in PEM (RFC 7468).
package pemfile

import (
	"encoding/pem"
	"fmt"

	"coreos/internal/host/bounded"
)

// MaxFile is the size limit of a file in bytes.
const MaxFile = 1 << 20

// Read returns the content of the first PEM block of a file, which must be of a kind such as
// "CERTIFICATE" or "PRIVATE KEY".
func Read(path, kind string) ([]byte, error) {
	text, err := bounded.ReadFile(path, MaxFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM text with a %s", path, kind)
	}
	return block.Bytes, nil
}
