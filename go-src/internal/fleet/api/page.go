package api

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
)

// PageSize is the default for the largest number of items on a page.
const PageSize = 100

// encodePage writes a page token as upstream does: the size and the number of the page, each
// as 16 bits, little endian.
func encodePage(size, number int) string {
	token := binary.LittleEndian.AppendUint16(nil, uint16(size))
	return base64.URLEncoding.EncodeToString(binary.LittleEndian.AppendUint16(token, uint16(number)))
}

func decodePage(size int, token string) (number int, err error) {
	bytes, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(bytes) != 4 {
		return 0, fmt.Errorf("%.40q is not a page token", token)
	}
	if said := int(binary.LittleEndian.Uint16(bytes)); said != size {
		return 0, fmt.Errorf("page token: the limit must be %d, not %d", size, said)
	}
	if number = int(binary.LittleEndian.Uint16(bytes[2:])); number == 0 {
		return 0, errors.New("page token: pages are counted from 1")
	}
	return number, nil
}

// page returns the page of a list that the URL asks for, and the token of the next page.
func page[T any](size int, u *url.URL, all []T) (items []T, next string, err error) {
	number := 1
	switch tokens := u.Query()["nextPageToken"]; len(tokens) {
	case 0:
	case 1:
		if number, err = decodePage(size, tokens[0]); err != nil {
			return nil, "", refuse(http.StatusBadRequest, "%w", err)
		}
	default:
		return nil, "", refuse(http.StatusBadRequest, "more than one page token")
	}
	from, to := (number-1)*size, number*size
	switch {
	case from >= len(all):
		return nil, "", nil
	case to >= len(all):
		return all[from:], "", nil
	case number == math.MaxUint16:
		return nil, "", fmt.Errorf("a list of %d items is longer than %d pages", len(all), number)
	}
	return all[from:to], encodePage(size, number+1), nil
}
