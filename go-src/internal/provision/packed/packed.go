// Package packed decodes configuration that is packed by gzip or written as base64, as
// user-data and the files of a cloud-config can be.
package packed

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"

	"coreos/internal/host/bounded"
)

// IsGzip reports whether data begins as gzip does (RFC 1952).
func IsGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

// Gunzip unpacks data. It unpacks no more than most bytes, however well they are packed, and
// returns bounded.ErrTooLarge if there are more.
func Gunzip(data []byte, most int64) ([]byte, error) {
	unpacker, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return bounded.Read(unpacker, most)
}

// Base64 decodes base64 (RFC 4648) with or without line breaks.
func Base64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}
