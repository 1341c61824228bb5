package datasource

import (
	"errors"
	"fmt"

	"coreos/internal/host/bounded"
	"coreos/internal/provision/packed"
)

// unpack unpacks user-data that is packed by gzip, as it may be on platforms with a small
// limit. The result has at most MaxUserData bytes.
func unpack(text []byte) ([]byte, error) {
	if !packed.IsGzip(text) {
		return text, bounded.Check(text, MaxUserData)
	}
	text, err := packed.Gunzip(text, MaxUserData)
	if err != nil && !errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: the gzip data are not valid: %w", ErrInvalid, err)
	}
	return text, err
}

// decodeBase64 decodes base64 with or without line breaks.
func decodeBase64(text string) ([]byte, error) {
	decoded, err := packed.Base64(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return decoded, nil
}
