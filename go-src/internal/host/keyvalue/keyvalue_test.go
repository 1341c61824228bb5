package keyvalue

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRead(t *testing.T) {
	for _, test := range []struct {
		text, comments string
		want           []Line
		err            string
	}{
		{"", "#", nil, ""},
		{"A=b\n\n  C=d=e \r\n", "#", []Line{{1, "A", "b"}, {3, "C", "d=e"}}, ""},
		{"# A=b\n;C=d\n[E]\nG=\n", "#;[", []Line{{4, "G", ""}}, ""},
		{";C=d", "#", []Line{{1, ";C", "d"}}, ""},
		{"A = \"b\" ", "#", []Line{{1, "A ", " \"b\""}}, ""},
		{"=x", "#", []Line{{1, "", "x"}}, ""},
		{"A=1\nA=2", "#", []Line{{1, "A", "1"}, {2, "A", "2"}}, ""},
		{"A=b\n\nnonsense\nmore\nC=d", "#", []Line{{1, "A", "b"}, {5, "C", "d"}}, `line 3: "nonsense" is not NAME=value`},
		{strings.Repeat("#", MaxFile), "#", nil, ""},
		{strings.Repeat("#", MaxFile+1), "#", nil, "too large: more than 64 KiB"},
	} {
		got, err := Read(strings.NewReader(test.text), test.comments)
		if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%.40q: got %+v, %v", test.text, got, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Read(iotest.ErrReader(broken), "#"); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestUnquote(t *testing.T) {
	for value, want := range map[string]string{
		`"a b"`: "a b", `'a'`: "a", `""`: "", `"`: `"`, `"a'`: `"a'`, `""a""`: `"a"`, "a": "a", "": "",
	} {
		if got := Unquote(value); got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uevent")
	if err := os.WriteFile(path, []byte("MAJOR=254\nno property\nPARTNAME= A=\"B\" \n#X=1\nX=1\nX=2"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Properties(path)
	if want := (map[string]string{"MAJOR": "254", "PARTNAME": ` A="B" `, "#X": "1", "X": "2"}); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Properties(path + "-gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := Properties("/dev/zero"); err == nil || !strings.Contains(err.Error(), "/dev/zero: the file is too large") {
		t.Errorf("error %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("# comment\nGROUP=stable\n SERVER = \"x\"\r\n")
	f.Add("=\n==\nA")
	f.Fuzz(func(t *testing.T, text string) {
		lines, _ := Read(strings.NewReader(text), "#;[")
		last := 0
		for _, line := range lines {
			if line.Number <= last || strings.ContainsAny(line.Name, "=\n") || strings.Contains(line.Value, "\n") ||
				line.Name != "" && strings.ContainsAny(line.Name[:1], "#;[ ") {
				t.Errorf("%q: %+v after line %d", text, line, last)
			}
			last = line.Number
		}
	})
}
