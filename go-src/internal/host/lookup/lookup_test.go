package lookup

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		adds bool
	}{
		"no server":    {&net.DNSError{Err: "server misbehaving", Name: "example.com", IsTemporary: true}, true},
		"silent":       {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", Name: "example.com", IsTimeout: true}}, true},
		"wrapped":      {fmt.Errorf("ask: %w", &net.DNSError{Err: "server misbehaving"}), true},
		"no such name": {&net.DNSError{Err: "no such host", Name: "example.com", IsNotFound: true}, false},
		"another":      {errors.New("connection refused"), false},
		"none":         {nil, false},
	} {
		got := Explain(test.err)
		if adds := got != nil && strings.Contains(got.Error(), "(no name server answers: see resolvectl status)"); adds != test.adds || !errors.Is(got, test.err) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
