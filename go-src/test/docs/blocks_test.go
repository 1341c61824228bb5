package docs

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

const marked = `# Page

<!-- run: machine, repeated -->

    # one
    1 line

Text without a mark.

    two

<!-- not run: it takes hours -->

    three

<!-- run: host
mkdir hidden
-->

<!-- file: a.yml -->

    #cloud-config

- in a list

  <!-- synopsis -->

      four [--flag]

<!-- a note -->
`

func TestBlocks(t *testing.T) {
	var got []string
	for _, b := range Parse("p.md", []byte(marked)).Blocks {
		got = append(got, strings.Join([]string{b.String(), string(b.Kind), b.Value, strings.Join(b.Options, "+"), strings.Join(b.Lines, "|")}, " "))
	}
	want(t, got,
		"p.md:5 run machine repeated # one|1 line",
		"p.md:10    two",
		"p.md:14 not run it takes hours  three",
		"p.md:17 run host  mkdir hidden",
		"p.md:22 file a.yml  #cloud-config",
		"p.md:28 synopsis   four [--flag]")
}

func TestWrongMarks(t *testing.T) {
	for mark, wrong := range map[string]bool{
		"run: machine": false, "run: node3": false, "run: tree": false, "run: host, boots": false,
		"run: moon": true, "run: machine, twice": true, "run:": true, "not run:": true, "not run: why": false,
		"synopsis": false, "sinopsis": true, "": true, "file:": true, "no command: a picture": false,
	} {
		if got := parseMark(mark).wrongMark(); (got != "") != wrong {
			t.Errorf("%q: %s", mark, got)
		}
	}
}

func TestSteps(t *testing.T) {
	for text, want := range map[string]string{
		"# a \\\n  b\nout\n…\n# c":                       "a \\\n  b -> out|…; c -> ",
		"$ a\n^C":                                        "a -> ^C; ",
		"a\nb   # refused: read-only\nc":                 "a\n -> ; b   # refused: read-only fails; c\n -> ",
		"cat >x <<'EOF'\n# a comment\nEOF":               "cat >x <<'EOF'\n# a comment\nEOF\n -> ",
		"slotctl check                     # fails then": "slotctl check                     # fails then fails; ",
	} {
		var got []string
		for _, s := range (Block{Lines: strings.Split(text, "\n")}).Steps() {
			if s.Fails {
				got = append(got, s.Command+" fails")
			} else {
				got = append(got, s.Command+" -> "+strings.Join(s.Prints, "|"))
			}
		}
		if got := strings.Join(got, "; "); got != strings.TrimSuffix(want, "; ") && got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestDiffers(t *testing.T) {
	for _, c := range []struct {
		shown, printed string
		differs        bool
	}{
		{"SLOT  VERSION\nA     4891.0.0  7f0c3a52d1be running", "SLOT  VERSION\nA  4892.1.0  00aa11bb22cc   running\n", false},
		{"running", "stopped", true},
		{"running", "", true},
		{"", "", true}, // an empty line is shown
		{"one\n…\nfour", "one\ntwo\nthree\nfour", false},
		{"one\n…", "one", false},
		{"…\nfour", "one\ntwo", true},
		{"one", "one\ntwo", true},
		{"one\ntwo", "one\nWaiting for two\ntwo", false},
		{"Waiting for two", "Waiting for two\nWaiting for two", true},
		{"launched on 2444264c.../10.9.0.1", "launched on 85c0c595.../10.9.0.3", false},
		{"launched on 2444264c.../10.9.0.1", "launched on 85c0c595/10.9.0.3", true},
		{"web@1 on node1", "web@2 on node1", true},
		{"2026-11-22T02:11:41Z …", "2026-11-28T17:00:00Z and more", false},
		{"etcd-20261122T021141Z-170.db: 2 keys", "etcd-20261128T000000Z-1.db: 3 keys", false},
		{"Sun 2026", "Fri 2026", false},
		{"v1.0.0", "v1.0.0", false},
	} {
		if got := differs(strings.Split(c.shown, "\n"), c.printed, false); (got != "") != c.differs {
			t.Errorf("shown %q, printed %q: %s", c.shown, c.printed, got)
		}
	}
}

func TestAnyOrder(t *testing.T) {
	for printed, want := range map[string]bool{"b 1\na": true, "a\nb 1": true, "b 1\nb 2": false, "a\nb 1\nc": false, "a": false} {
		if got := differs([]string{"a", "b 2"}, printed, true); (got == "") != want {
			t.Errorf("%q: %s", printed, got)
		}
	}
}

func TestOutputs(t *testing.T) {
	outputs, statuses, rest := outputs(strings.ReplaceAll("MARK 0\none\ntwo\n\nMARK 3\n\n\nMARK 0\nunfinished", "MARK", separator))
	want(t, outputs, "", "one\ntwo", "")
	want(t, statuses, "0", "3", "0")
	want(t, []string{rest}, "unfinished")
}

// TestScript runs blocks in a real shell.
func TestScript(t *testing.T) {
	for text, wrong := range map[string]string{
		"# cd /; A=1\n# echo $A $PWD\n1 /":             "",
		"# echo to stderr >&2; false\nto stderr":       "", // the status is not shown
		"# echo one\ntwo\n# true":                      "echo one: the page shows\n  two\nand it prints\n  one",
		"# true\n# false":                              "fails: false\n+ false",
		"true\nfalse  # refused\necho a":               "",
		"true  # fails":                                "goes well, but the page says that it fails: true  # fails",
		"echo a\n(exit 3)\necho b":                     "fails: echo a\n(exit 3)\necho b\n\n+ echo a\na\n+ exit 3",
		"cat >/dev/null <<'EOF'\n  text\nEOF\ncd /\n#": "",
		"# echo waits; sleep 60\nwaits\n^C":            "",
	} {
		steps := Block{Lines: strings.Split(text, "\n")}.Steps()
		script := strings.Replace(Script(steps), fmt.Sprint("INT ", interruptAfter, " "), "INT 0.2 bash -c 'echo waits; sleep 60' #", 1)
		printed, _ := exec.CommandContext(t.Context(), "bash", "-c", script).Output() // fails as the script does
		if got := Wrong(steps, strings.TrimSpace(string(printed))); got != wrong {
			t.Errorf("%q: got %q, want %q", text, got, wrong)
		}
	}
}

// TestReport has what the pages leave out.
func TestReport(t *testing.T) {
	page := Parse("p.md", []byte(marked))
	got := Report([]Page{page})
	for _, want := range []string{"p.md", "it takes hours", "three"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	want(t, Unmarked([]Page{page}), "p.md:10: the block has no mark: write <!-- run: machine -->, or what else it is, before it: two")
}
