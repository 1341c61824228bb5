// Package packed decodes configuration that is packed by gzip or written as base64, as
// user-data and the files of a cloud-config can be.
package packed

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrTooLarge is in the chain of the error for data that has more bytes than allowed.
var ErrTooLarge = errors.New("too large")

// Limit returns ErrTooLarge if data has more than most bytes.
func Limit(data []byte, most int) error {
	if len(data) > most {
		return fmt.Errorf("%w: more than %d KiB", ErrTooLarge, most>>10)
	}
	return nil
}

// IsGzip reports whether data begins as gzip does (RFC 1952).
func IsGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

// Gunzip unpacks data. It unpacks no more than most bytes, however well they are packed.
func Gunzip(data []byte, most int) ([]byte, error) {
	unpacker, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(io.LimitReader(unpacker, int64(most)+1))
	if err == nil {
		err = Limit(data, most)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Base64 decodes base64 (RFC 4648) with or without line breaks.
func Base64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}
