package blackbox

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "cloud-config-hostile", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "a hostile cloud-config is refused with a reason, in little memory, and writes nothing where it should not",
		Run:  cloudConfigHostile,
	})
}

// bomb unpacks to 48 MiB; much more does not fit onto a command line.
func bomb() string {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	zeros := make([]byte, 1<<20)
	for range 48 {
		_, _ = w.Write(zeros)
	}
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}

// laughs stands for ten to the power of ten values.
func laughs() string {
	text := "l0: &l0 [x, x]\n"
	for i := 1; i <= 10; i++ {
		before := fmt.Sprintf("*l%d, ", i-1)
		text += fmt.Sprintf("l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(before, 10), ", "))
	}
	return text + "ssh_authorized_keys: *l10\n"
}

func cloudConfigHostile(t *suite.T) {
	m := running(t)
	t.Run(m, "mkdir -p /opt && ln -s /usr/lib /opt/usr-link")
	const begin = "#cloud-config\n"
	packed := bomb()
	for _, c := range []struct{ name, make, want string }{
		{"10 MB", "{ echo '#cloud-config'; yes 'x: y' | head -c 10000000; } >f", "too large"},
		{"billion laughs", here(begin + laughs()), "ssh_authorized_keys[9]: a list"},
		{"deep nesting", "{ echo '#cloud-config'; printf 'hostname: '; head -c 200000 /dev/zero | tr '\\0' '['; } >f", "depth"},
		{"invalid UTF-8", "printf '#cloud-config\\nhostname: \"\\377\\376\"\\n' >f", "UTF-8"},
		{"gzip bomb", "base64 -d >f <<'END'\n" + packed + "\nEND", "too large"},
		{"gzip bomb in a file", here(begin + "write_files: [{path: /opt/bomb, encoding: gz+b64, content: " + packed + "}]\n"), "error: write_files[0].content"},
		{"path upwards", here(begin + "write_files: [{path: /opt/../../outside, content: x}]\n"), "line 2, column 22"},
		{"relative path", here(begin + "write_files: [{path: outside, content: x}]\n"), "line 2, column 22"},
		{"link to what is read-only", here(begin + "write_files: [{path: /opt/usr-link/outside, content: x}]\n"), "read-only file system"},
		{"unit upwards", here(begin + "coreos: {units: [{name: ../../outside.service, content: x}]}\n"), "line 2, column 25"},
		{"drop-in upwards", here(begin + "coreos: {units: [{name: x.service, drop-ins: [{name: ../outside.conf, content: x}]}]}\n"), "line 2, column 54"},
		{"user upwards", here(begin + "users: [{name: ../outside}]\n"), "line 2, column 16"},
	} {
		out := t.Fails(m, "rm -rf /var/tmp/h && mkdir /var/tmp/h && cd /var/tmp/h && "+c.make+
			"\nsystemd-run --wait --pipe --quiet -p MemoryMax=64M -p MemorySwapMax=0 coreos-cloudinit -from-file=/var/tmp/h/f 2>&1")
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: it says %.600s\nwithout %q", c.name, out, c.want)
		}
	}
	t.Equal("what was written", t.Run(m, "find / -xdev -name 'outside*' -o -xdev -name bomb"), "")
}

// here writes a text to the file f.
func here(text string) string { return "cat >f <<'END'\n" + text + "END" }
