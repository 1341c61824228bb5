package bootkey

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// oldPacket takes one packet with a header of the old format with a length of two
// octets, which must be all of b.
func oldPacket(t *testing.T, b []byte, tag byte) []byte {
	t.Helper()
	if len(b) < 3 || b[0] != 0x80|tag<<2|1 || int(binary.BigEndian.Uint16(b[1:])) != len(b)-3 {
		t.Fatalf("%d bytes starting with %x are not one old-format packet with tag %d", len(b), b[:min(len(b), 3)], tag)
	}
	return b[3:]
}

func TestAddIssuerErrors(t *testing.T) {
	tests := map[string][]byte{
		"nothing":                nil,
		"too short":              {0x88, 5, 4, 0, 1, 8, 0},
		"hashed area too long":   {0x88, 8, 4, 0, 1, 8, 0xff, 0xff, 0, 0},
		"unhashed area is used":  {0x88, 9, 4, 0, 1, 8, 0, 0, 0, 1, 0},
		"header without content": {0x88, 200, 4},
	}
	for name, b := range tests {
		if err := addIssuer(bytes.NewBuffer(b), 1); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestReframe(t *testing.T) {
	newFormat := func(tag byte, length []byte, content []byte) []byte {
		return append(append([]byte{0xc0 | tag}, length...), content...)
	}
	content := bytes.Repeat([]byte("x"), 300)
	var b bytes.Buffer
	if err := reframe(&b, bytes.NewReader(newFormat(2, []byte{192, 108}, content))); err != nil {
		t.Fatal(err)
	}
	if got := oldPacket(t, b.Bytes(), 2); !bytes.Equal(got, content) {
		t.Errorf("got %q", got)
	}
	for name, packet := range map[string][]byte{
		"too long": newFormat(2, []byte{255, 0, 1, 0, 0}, make([]byte, 1<<16)),
		"new tag":  newFormat(17, []byte{1}, []byte("x")),
		"cut off":  newFormat(2, []byte{192, 108}, content[:100]),
	} {
		if err := reframe(&b, bytes.NewReader(packet)); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
