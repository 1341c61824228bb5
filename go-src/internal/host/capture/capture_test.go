package capture

import (
	"io"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// write writes texts and fails the test if that does not succeed.
func write(t *testing.T, w io.Writer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("wrote %d bytes of %d, %v", n, len(text), err)
		}
	}
}

func TestHead(t *testing.T) {
	for _, test := range []struct {
		texts         []string
		want, oneLine string
	}{
		{nil, "", ""},
		{[]string{" a\n", "b "}, "a\nb", "a b"},
		{[]string{"12345", "67890"}, "1234567890", "1234567890"},
		{[]string{"12345", "678901", "x"}, "1234567890 …", "1234567890 …"},
		{[]string{"€€€€"}, "€€€ …", "€€€ …"},
	} {
		h := &Head{Limit: 10}
		write(t, h, test.texts...)
		if h.String() != test.want || h.OneLine() != test.oneLine {
			t.Errorf("%q: got %q, in one line %q", test.texts, h.String(), h.OneLine())
		}
	}
}

func TestTail(t *testing.T) {
	for _, test := range []struct {
		texts []string
		want  string
	}{
		{nil, ""},
		{[]string{" a\n", "b "}, "a\nb"},
		{[]string{"12345", "67890", "x\n"}, "34567890x"},
		{[]string{strings.Repeat("x", 100), "12345678901234"}, "5678901234"},
	} {
		tail := &Tail{Limit: 10}
		write(t, tail, test.texts...)
		if tail.String() != test.want {
			t.Errorf("%q: got %q", test.texts, tail.String())
		}
	}
	tail := &Tail{Limit: 4}
	write(t, tail, "€€")
	if text := tail.String(); !utf8.ValidString(text) || !strings.HasSuffix(text, "€") {
		t.Errorf("got %q", text)
	}
}

// TestOfProgram has os/exec copy the output, which uses ReadFrom where there is one.
func TestOfProgram(t *testing.T) {
	head, tail := &Head{Limit: 1000}, &Tail{Limit: 1000}
	command := exec.Command("sh", "-c", "yes | head -c 1000000; yes | head -c 1000000 >&2")
	command.Stdout, command.Stderr = head, tail
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	if len(head.kept) != 1000 || len(tail.kept) != 1000 {
		t.Errorf("kept %d and %d bytes, want 1000 of each", len(head.kept), len(tail.kept))
	}
}
