package bounded

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := ReadFile(path, 8); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]error{"": nil, "12345678": nil, "123456789": ErrTooLarge} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(path, 8)
		if !errors.Is(err, want) || err == nil && string(got) != text || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for most, want := range map[int64]string{1000: "too large: more than 1000 bytes", 2048: "too large: more than 2 KiB"} {
		if err := Check(make([]byte, most), most); err != nil {
			t.Error(err)
		}
		if err := Check(make([]byte, most+1), most); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// endless has a zero for every byte that is read, and counts them.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	clear(b)
	e.read += int64(len(b))
	return len(b), nil
}

func TestRead(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		from io.Reader
		want string
		err  error
	}{
		"nothing":   {strings.NewReader(""), "", nil},
		"the limit": {strings.NewReader("12345678"), "12345678", nil},
		"one more":  {strings.NewReader("123456789"), "", ErrTooLarge},
		"an error":  {io.MultiReader(strings.NewReader("1"), iotest.ErrReader(broken)), "", broken},
	} {
		got, err := Read(test.from, 8)
		if string(got) != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestReadStops(t *testing.T) {
	source := &endless{}
	if _, err := Read(source, 1000); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if source.read > 1001 {
		t.Errorf("%d bytes were read", source.read)
	}
}
