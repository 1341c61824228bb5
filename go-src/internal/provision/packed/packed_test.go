package packed

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"coreos/internal/host/bounded"
)

func pack(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestGunzip(t *testing.T) {
	const most = 4096
	full, bomb := strings.Repeat("x", most), strings.Repeat("x", 100<<20)
	for _, test := range []struct {
		name     string
		data     []byte
		want     string
		tooLarge bool
		fails    bool
	}{
		{"a text", pack(t, "hello"), "hello", false, false},
		{"nothing", pack(t, ""), "", false, false},
		{"just enough", pack(t, full), full, false, false},
		{"one byte more", pack(t, full+"x"), "", true, true},
		{"a bomb", pack(t, bomb), "", true, true},
		{"two members", append(pack(t, "a"), pack(t, "b")...), "ab", false, false},
		{"cut", pack(t, "hello")[:15], "", false, true},
		{"no gzip", []byte("hello"), "", false, true},
	} {
		got, err := Gunzip(test.data, most)
		if string(got) != test.want || (err != nil) != test.fails || errors.Is(err, bounded.ErrTooLarge) != test.tooLarge {
			t.Errorf("%s: got %d bytes, %v", test.name, len(got), err)
		}
	}
}

func TestIsGzip(t *testing.T) {
	if !IsGzip(pack(t, "")) || IsGzip([]byte("#!/bin/sh")) || IsGzip(nil) || IsGzip([]byte{0x1f}) {
		t.Error("gzip is not told from a text")
	}
}

func TestBase64(t *testing.T) {
	for text, want := range map[string]string{"aGVsbG8=": "hello", " aGVs\r\n bG8=\n": "hello", "": ""} {
		if got, err := Base64(text); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"aGVsbG8", "a-b_", "=", "a"} {
		if got, err := Base64(text); err == nil {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func FuzzGunzip(f *testing.F) {
	f.Add(pack(f, "hello"))
	f.Add(pack(f, strings.Repeat("x", 5000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := Gunzip(data, 4096); len(got) > 4096 || err != nil && got != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
