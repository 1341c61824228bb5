package grubenv

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block makes an environment block from raw text, filled up with '#'.
func block(text string) []byte {
	b := append([]byte(signature), text...)
	return append(b, bytes.Repeat([]byte{'#'}, Size-len(b))...)
}

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		text string
		want Env
	}{
		{"empty", "", Env{}},
		{"as the image has it", "ORDER=A B\nA_TRIES=3\nA_WHY=\n", Env{"ORDER": "A B", "A_TRIES": "3", "A_WHY": ""}},
		{"comment", "# WARNING: a=b\na=1\n", Env{"a": "1"}},
		{"comment with escaped newline", "# x\\\na=2\nb=1\n", Env{"b": "1"}},
		{"comment between", "a=1\n#b=2\nc=3\n", Env{"a": "1", "c": "3"}},
		{"escaped backslash", "a=x\\\\y\n", Env{"a": `x\y`}},
		{"escaped newline", "a=x\\\ny\nb=1\n", Env{"a": "x\ny", "b": "1"}},
		{"escaped other", "a=\\x\\=\n", Env{"a": "x="}},
		{"equals signs in the value", "a=b=c==\n", Env{"a": "b=c=="}},
		{"number sign in the value", "a=#1\n", Env{"a": "#1"}},
		{"number sign within the name", "a#b=1\n", Env{"a#b": "1"}},
		{"last one wins", "a=1\na=2\n", Env{"a": "2"}},
		{"value without newline", "a=1\nb=2", Env{"a": "1"}},
		{"line without equals sign spoils the next", "rubbish\na=1\nb=2\n", Env{"b": "2"}},
		{"empty line spoils the next", "\na=1\nb=2\n", Env{"b": "2"}},
		{"no name", "=1\na=2\n", Env{"a": "2"}},
		{"backslash in the name", "a\\b=1\nc=2\n", Env{"c": "2"}},
		{"nothing but zeros", strings.Repeat("\x00", Size-len(signature)), Env{}},
		{"ends in a backslash", strings.Repeat("#", Size-len(signature)-3) + "\na\\", Env{}},
		{"value ends in a backslash", "#" + strings.Repeat("#", Size-len(signature)-5) + "\na=\\", Env{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env, err := Parse(block(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(env, test.want) {
				t.Errorf("got %q, want %q", env, test.want)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
	tests := map[string][]byte{
		"nothing":           nil,
		"too short":         block("a=1\n")[:Size-1],
		"too long":          append(block("a=1\n"), '#'),
		"zeros":             make([]byte, Size),
		"other signature":   bytes.Replace(block("a=1\n"), []byte("GRUB"), []byte("grub"), 1),
		"signature cut off": bytes.Replace(block("a=1\n"), []byte("\n"), []byte("#"), 1),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(b); !errors.Is(err, ErrFormat) {
				t.Errorf("got error %v, want %v", err, ErrFormat)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	got, err := Env{"b": "x\\y\nz", "a": ""}.Format()
	if err != nil {
		t.Fatal(err)
	}
	if want := block("a=\nb=x\\\\y\\\nz\n"); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFormatStaysInOneSector(t *testing.T) {
	room := sector - len(signature) - len("a=\n")
	got, err := Env{"a": strings.Repeat("x", room)}.Format()
	if err != nil {
		t.Fatalf("a full sector: %v", err)
	}
	if len(got) != Size || !bytes.Equal(got[sector:], bytes.Repeat([]byte{'#'}, Size-sector)) {
		t.Errorf("the second sector has more than filling: %q", got[sector:])
	}
	for name, value := range map[string]string{
		"one too many":         strings.Repeat("x", room+1),
		"escapes do not fit":   strings.Repeat("x", room-1) + `\`,
		"larger than a block":  strings.Repeat("x", Size),
		"only escapes, double": strings.Repeat("\n", room/2+1),
	} {
		if _, err := (Env{"a": value}).Format(); !errors.Is(err, ErrFull) {
			t.Errorf("%s: got error %v, want %v", name, err, ErrFull)
		}
	}
}

func TestFormatRejectsNames(t *testing.T) {
	for _, name := range []string{"", "a=b", "a\nb", `a\b`, "#a", "a\x00"} {
		if _, err := (Env{name: "1"}).Format(); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

// editenv runs grub-editenv, GRUB's own implementation.
func editenv(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("grub-editenv")
	if err != nil {
		t.Skip("grub-editenv is not installed")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("grub-editenv %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestReadWhatGrubWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grubenv")
	editenv(t, path, "create")
	want := Env{"ORDER": "B A", "A_WHY": `a\b`, "text": "two\nlines", "empty": "", "hash": "#1 = 2"}
	for name, value := range want {
		editenv(t, path, "set", name+"="+value)
	}
	editenv(t, path, "set", "gone=1")
	editenv(t, path, "unset", "gone")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(env, want) {
		t.Errorf("got %q, want %q", env, want)
	}
}

func TestGrubReadsWhatWeWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grubenv")
	b, err := Env{"ORDER": "B A", "A_WHY": `a\b`, "text": "two\nlines\\", "empty": ""}.Format()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	want := "A_WHY=a\\b\nORDER=B A\nempty=\ntext=two\nlines\\\n"
	if got := editenv(t, path, "list"); got != want {
		t.Errorf("grub-editenv list printed %q, want %q", got, want)
	}

	// GRUB changes a value in place and appends a new one.
	editenv(t, path, "set", "ORDER=A B", "new=1")
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	env, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if env["ORDER"] != "A B" || env["new"] != "1" || env["text"] != "two\nlines\\" {
		t.Errorf("after grub-editenv set: %q", env)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("ORDER=A B\nA_TRIES=3\nA_OK=1\n"))
	f.Add([]byte("a=\\\\\\\nb\n#c=d\ne=f"))
	f.Add([]byte("\\"))
	f.Add([]byte("a\x00b=c\n=\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		text = text[:min(len(text), Size-len(signature))]
		env, err := Parse(block(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := env.Format()
		if errors.Is(err, ErrFull) {
			return
		}
		if err != nil {
			t.Fatalf("what was parsed cannot be written: %v", err)
		}
		again, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(env, again) {
			t.Errorf("%q became %q", env, again)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add("A_WHY", "unhealthy:unit,disk")
	f.Add("a", "\\\n\\")
	f.Add("#", "#")
	f.Fuzz(func(t *testing.T, name, value string) {
		env := Env{"ORDER": "A B", name: value}
		b, err := env.Format()
		if err != nil {
			if validName(name) && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			return
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, env) {
			t.Errorf("%q became %q", env, got)
		}
	})
}
