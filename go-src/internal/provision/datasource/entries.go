package datasource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxProblems is the limit of the entries that are named.
const maxProblems = 20

// leaveOut records that an entry is not valid. The other entries count: a machine without its
// keys or its user-data, for one address that it does not need, could not be reached.
func (m *Metadata) leaveOut(err error) {
	if err == nil || len(m.Problems) > maxProblems {
		return
	}
	text := strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
	if len(m.Problems) == maxProblems {
		text = "there are more entries that are not valid"
	}
	m.Problems = append(m.Problems, text)
}

// address returns the address of an entry, the zero address if there is none.
func (m *Metadata) address(entry, text string) netip.Addr {
	address, err := parseAddress(entry, text)
	m.leaveOut(err)
	return address
}

// looseText is a JSON string; a value of another type is kept as it is written. Parsing it
// later is an error of this entry only.
type looseText string

// UnmarshalJSON implements json.Unmarshaler.
func (l *looseText) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		s = string(text)
	}
	*l = looseText(s)
	return nil
}

// document decodes a JSON document. A value of the wrong type is left out; the decoder
// goes on behind it.
func (m *Metadata) document(text []byte, into any) error {
	err := json.Unmarshal(text, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		m.leaveOut(fmt.Errorf("%s: a value of type %s where %s is wanted", wrong.Field, wrong.Value, wrong.Type))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: the JSON document is not valid: %w", ErrInvalid, err)
	}
	return nil
}

// entry returns the content at a path, nothing if the server does not have it. A final error,
// such as a refusal, is a problem of this entry only.
func (s server) entry(ctx context.Context, path string, most int, m *Metadata) ([]byte, error) {
	text, err := s.optional(ctx, path, most)
	if err != nil && isFinal(err) {
		m.leaveOut(err)
		return nil, nil
	}
	return text, err
}

// address returns the address at a path, the zero address if there is none.
func (s server) address(ctx context.Context, path string, m *Metadata) (netip.Addr, error) {
	text, err := s.entry(ctx, path, maxValue, m)
	return m.address(path, string(text)), err
}

// fail records that the network has an entry that is not valid. A network is applied as a whole
// or not at all.
func (n *Network) fail(entry string, err error) {
	if err != nil && n.Problem == nil {
		n.Problem = fmt.Errorf("%s: %w", entry, err)
	}
}
