package bootimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

const goodConfig = "set slot_version=\"1.2.3\"\nset slot_cmdline=\"quiet gpt usrhash=abc coreos.usrblocks=7\"\n"

type member struct{ name, content string }

// archive makes a boot image as board/coreos/make-slot.sh does.
func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	for _, m := range members {
		header := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.content)), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return image.Bytes()
}

func TestReadInfo(t *testing.T) {
	want := Info{Version: "1.2.3", Cmdline: "quiet gpt usrhash=abc coreos.usrblocks=7"}
	image := archive(t, member{Config + ".sig", "x"}, member{Config, goodConfig}, member{Kernel, strings.Repeat("k", 10_000)})
	tests := map[string][]byte{
		"first":                 archive(t, member{Config, goodConfig}),
		"after its signature":   image,
		"last":                  archive(t, member{Kernel, strings.Repeat("k", 10_000)}, member{Config, goodConfig}),
		"partition goes on":     append(bytes.Clone(image), bytes.Repeat([]byte{0xff}, 4096)...),
		"rest of it is damaged": append(bytes.Clone(image[:4*512]), bytes.Repeat([]byte{0xff}, 4096)...),
		"other lines around":    archive(t, member{Config, "# comment\n\nset other=1\n  " + goodConfig + "export slot_version\n"}),
		"a dollar sign":         archive(t, member{Config, "set slot_version=\"1.2.3\"\nset slot_cmdline=\"quiet memmap=256K\\$256M\"\n"}),
		"with sums":             archive(t, member{Config, goodConfig + "set slot_sums=\"1\"\n"}),
		"later line wins":       archive(t, member{Config, "set slot_version=old\n" + goodConfig}),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadInfo(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			want := want
			if name == "a dollar sign" {
				want.Cmdline = "quiet memmap=256K$256M"
			}
			want.Bound = name == "with sums"
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestReadInfoRejects(t *testing.T) {
	var many []member
	for i := range maxMembers {
		many = append(many, member{fmt.Sprintf("file%d", i), ""})
	}
	tests := []struct {
		name  string
		image []byte
		want  string // part of the error
	}{
		{"nothing", nil, ErrEmpty.Error()},
		{"zeros", make([]byte, 1<<20), ErrEmpty.Error()},
		{"no slot.cfg", archive(t, member{Kernel, "k"}), ErrEmpty.Error()},
		{"slot.cfg beyond all bounds", archive(t, append(many, member{Config, goodConfig})...), ErrEmpty.Error()},
		{"ones", bytes.Repeat([]byte{0xff}, 1<<20), "invalid tar header"},
		{"cut off in the header", archive(t, member{Config, goodConfig})[:100], "unexpected EOF"},
		{"cut off in slot.cfg", archive(t, member{Config, goodConfig})[:560], "slot.cfg: unexpected EOF"},
		{"slot.cfg too large", archive(t, member{Config, goodConfig + strings.Repeat("#", maxConfig)}), "too many"},
		{"no version", archive(t, member{Config, "set slot_cmdline=x\n"}), "slot_version or slot_cmdline is missing"},
		{"no command line", archive(t, member{Config, "set slot_version=1\n"}), "slot_version or slot_cmdline is missing"},
		{"empty command line", archive(t, member{Config, "set slot_version=1\nset slot_cmdline=\"\"\n"}), "slot_version or slot_cmdline is missing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			info, err := ReadInfo(bytes.NewReader(test.image))
			if err == nil || !strings.Contains(err.Error(), test.want) || info != (Info{}) {
				t.Errorf("got %+v and error %v, want one with %q", info, err, test.want)
			}
			if isEmpty := test.want == ErrEmpty.Error(); errors.Is(err, ErrEmpty) != isEmpty {
				t.Errorf("error %v counts as empty: %v", err, !isEmpty)
			}
		})
	}
}

func TestUsrHash(t *testing.T) {
	tests := map[string]string{
		"":                               "",
		"quiet":                          "",
		"usrhash=abc":                    "abc",
		"quiet  usrhash=abc gpt":         "abc",
		"myusrhash=1 usrhash=abc":        "abc",
		"usrhash= x":                     "",
		"coreos.usrhash=1 quiet=usrhash": "",
	}
	for cmdline, want := range tests {
		if got := (Info{Cmdline: cmdline}).UsrHash(); got != want {
			t.Errorf("%q: got %q, want %q", cmdline, got, want)
		}
	}
}

func FuzzReadInfo(f *testing.F) {
	f.Add(archive(f, member{Config + ".sig", "x"}, member{Config, goodConfig}))
	f.Add(archive(f, member{Kernel, "k"}))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, image []byte) {
		info, err := ReadInfo(bytes.NewReader(image))
		if (err == nil) != (info.Version != "" && info.Cmdline != "") {
			t.Errorf("got %+v and error %v", info, err)
		}
		if len(info.Cmdline) > maxConfig {
			t.Errorf("command line of %d bytes", len(info.Cmdline))
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add(goodConfig)
	f.Add("set slot_version\nset slot_cmdline=\"\"\"\nset ")
	f.Fuzz(func(t *testing.T, text string) {
		info, err := parseConfig(text)
		if err == nil && (info.Version == "" || info.Cmdline == "") {
			t.Errorf("took %q as %+v", text, info)
		}
		_ = info.UsrHash()
	})
}
