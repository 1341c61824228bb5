package unitfile

import (
	"strings"
	"testing"
)

// TestAsSystemdReadsIt has texts that systemd reads as the other one.
func TestAsSystemdReadsIt(t *testing.T) {
	const plain = "[Service]\nExecStart=/bin/sleep 1\nUser=core\n"
	for what, text := range map[string]string{
		"a comment that ends with a backslash":  "[Service]\n# a comment \\\nExecStart=/bin/sleep 1\n; another \\\nUser=core\n",
		"a comment at the end of the file":      "[Service]\nExecStart=/bin/sleep 1\nUser=core\n# end \\",
		"an indented comment":                   "[Service]\n  # a comment\nExecStart=/bin/sleep 1\nUser=core\n",
		"CRLF":                                  "[Service]\r\nExecStart=/bin/sleep 1\r\nUser=core\r\n",
		"CR":                                    "[Service]\rExecStart=/bin/sleep 1\rUser=core\r",
		"a byte order mark":                     "\ufeff" + plain,
		"white space":                           "\n [Service] \n\n\tExecStart = /bin/sleep 1 \nUser=core",
		"what comes before the first section":   "x [y]\nUser=nobody\nz \\\n[Unit]\n" + plain,
		"the last line is continued by nothing": "[Service]\nExecStart=/bin/sleep 1\nUser=core \\",
	} {
		f, err := Parse(text)
		if err != nil || f.String() != plain {
			t.Errorf("%s: %q, %v", what, f, err)
		}
	}
	const continued = "[Service]\nExecStart=/bin/sh -c \\\n  'sleep 1'\nUser=core\n"
	for what, text := range map[string]string{
		"a comment between":         "[Service]\nExecStart=/bin/sh -c \\\n# a comment\n  'sleep 1'\nUser=core\n",
		"two that end in backslash": "[Service]\nExecStart=/bin/sh -c \\\n# a comment \\\n ; another \\\n  'sleep 1'\nUser=core\n",
		"CRLF":                      "[Service]\r\nExecStart=/bin/sh -c \\\r\n  'sleep 1'\r\nUser=core\r\n",
	} {
		f, err := Parse(text)
		if err != nil || f.String() != continued {
			t.Errorf("continued, %s: %q, %v", what, f, err)
			continue
		}
		if values := f.values("Service", "ExecStart"); len(values) != 1 || values[0] != "/bin/sh -c    'sleep 1'" {
			t.Errorf("continued, %s: %q", what, values)
		}
	}
	for text, want := range map[string]string{
		"[Service]\nEnvironment=A=x\\\\\nUser=core\n": "User=core",                         // an escaped backslash continues nothing
		"[Service]\nExecStart=a \\\n\nUser=core\n":    "ExecStart=a \\\n\nUser=core",       // an empty line ends it
		"[Unit]\nAfter=a.service \\\n  b.service\n":   "After=a.service \\\n  b.service\n", // as upstream keeps it
	} {
		if f, err := Parse(text); err != nil || !strings.Contains(f.String(), want) {
			t.Errorf("%q: %q, %v", text, f, err)
		}
	}
}

func TestContinuedNeeds(t *testing.T) {
	f, err := Parse("[Unit]\nAfter=a.service \\\n# not this.service\n  b.service\n[X-Fleet]\nMachineMetadata=\"a=b\" \\\n  \"c=d\"\n")
	if err != nil {
		t.Fatal(err)
	}
	name, _ := ParseName("x.service")
	if after := f.Needs(name).After; len(after) != 2 {
		t.Errorf("After=%q", after)
	}
	if r, err := f.Requirements(name); err != nil || len(r.Metadata) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestErrorsHaveLines(t *testing.T) {
	for text, want := range map[string]string{
		"[Service]\nExecStart=/bin/true\nnonsense\n":           "line 3: it is no NAME=VALUE",
		"[Service]\r\nExecStart=/bin/sh \\\r\n -c x\r\n=x\r\n": "line 4: it is no NAME=VALUE",
		"\n[Service\n":            "line 2: it is no [SECTION]",
		"[Service] # a comment\n": "line 1: it is no [SECTION]",
		"[]\n":                    "line 1: it is no [SECTION]",
		"[A]\nB=c\\ \n":           "line 2: it ends with a backslash and white space",
		"[A]\nB=c \\\nd" + strings.Repeat("x", 3000): "line 3: it is too long",
		"[A]\nB=\xff\n": "line 2: it is not UTF-8 text",
		"[A]\nB=\x00\n": "line 2: it is not UTF-8 text",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}
