package cloudconfig

import (
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	for text, want := range map[string]Kind{
		"": Empty, " \n": Empty, "#cloud-config": CloudConfig, "#cloud-config \r\nx: y": CloudConfig, "#!/bin/sh\n": Script,
		`{"ignition": {"version": "3.4.0"}}`: Ignition, "{}": Unknown, "hello": Unknown, "# cloud-config": Unknown,
	} {
		if got := KindOf([]byte(text)); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

func TestWhyUnknown(t *testing.T) {
	for text, want := range map[string]string{
		"\xef\xbb\xbf#cloud-config\nhostname: a\n":             "BOM",
		"\xef\xbb\xbf#!/bin/sh\n":                              "BOM",
		"\xef\xbb\xbf{\"ignition\": {\"version\": \"3.4.0\"}}": "BOM",
		"\xff\xfe#\x00c\x00":                                   "UTF-16",
		"\n\n#cloud-config\nhostname: a\n":                     "blank lines",
		" #!/bin/sh\n":                                         "blank lines",
		"# cloud-config\n":                                     "want exactly #cloud-config",
		"#Cloud-Config\n":                                      "want exactly #cloud-config",
		"{\n  \"ignition\": {\"version\": \"3.4.0\"},\n  x\n}": "line 3, column 3: it is JSON that breaks off or is not valid here: invalid character 'x'",
		"{\n  \"ignition\": {\"version\": \"3.4.0\"":           "line 2, column 33: it is JSON that breaks off",
		"{}":                                   "no Ignition config",
		`{"ignition": {"version": 3}}`:         "its ignition.version is 3",
		"Content-Type: multipart/mixed; a=b\n": "MIME",
		"#include\nhttps://example.com\n":      "#include",
		"<!DOCTYPE html>\n":                    "HTML",
		"variant: flatcar\nversion: 1.1.0\n":   "configctl translate",
		"\x1f\x8b\x08":                         "gzip",
		"hello":                                `"hello": want #cloud-config`,
	} {
		if got := WhyUnknown([]byte(text)); !strings.Contains(got, want) {
			t.Errorf("%q: %s\nwithout %q", text, got, want)
		}
		if kind := KindOf([]byte(text)); kind != Unknown {
			t.Errorf("%q is %v", text, kind)
		}
	}
}
