package datasource

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// unpack unpacks user-data that is packed by gzip. Platforms that allow little user-data
// are the reason to pack it. However well it is packed, no more than MaxUserData is
// unpacked.
func unpack(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
		return text, tooLarge(text, MaxUserData)
	}
	packed, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: begins as gzip does: %w", ErrInvalid, err)
	}
	text, err = io.ReadAll(io.LimitReader(packed, MaxUserData+1))
	if err != nil {
		return nil, fmt.Errorf("%w: packed by gzip: %w", ErrInvalid, err)
	}
	return text, tooLarge(text, MaxUserData)
}

// tooLarge returns an error if text has more bytes than it may have.
func tooLarge(text []byte, most int) error {
	if len(text) > most {
		return fmt.Errorf("%w: more than %d KiB", ErrTooLarge, most>>10)
	}
	return nil
}

// decodeBase64 decodes what platforms carry as base64, with or without line breaks.
func decodeBase64(text string) ([]byte, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return decoded, nil
}
