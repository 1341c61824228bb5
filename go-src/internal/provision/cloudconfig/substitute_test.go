package cloudconfig

import (
	"slices"
	"testing"
)

func TestSubstitute(t *testing.T) {
	values := map[string]string{"private_ipv4": "10.0.0.5", "public_ipv6": "2001:db8::1"}
	for _, test := range []struct {
		text, want string
		unknown    []string
	}{
		{"nothing", "nothing", nil},
		{"http://$private_ipv4:2380,$private_ipv4", "http://10.0.0.5:2380,10.0.0.5", nil},
		{"[$public_ipv6]$private_ipv4x", "[2001:db8::1]10.0.0.5x", nil},
		{`\$private_ipv4 $private_ipv4`, "$private_ipv4 10.0.0.5", nil},
		{"$private_ipv5 private_ipv4 $PRIVATE_IPV4", "$private_ipv5 private_ipv4 $PRIVATE_IPV4", nil},
		{"a$public_ipv4.b$private_ipv6$public_ipv4", "a.b", []string{"$public_ipv4", "$private_ipv6"}},
	} {
		got, unknown := Substitute([]byte(test.text), values)
		if string(got) != test.want || !slices.Equal(unknown, test.unknown) {
			t.Errorf("%q becomes %q, %q", test.text, got, unknown)
		}
	}
}
