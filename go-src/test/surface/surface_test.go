package surface

import (
	"slices"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	table, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := table.String(); got != text {
		t.Errorf("%s is not as it is written by make surface, which sorts it", File)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"fields": "both\tport",
		"what":   "both\tport\t",
		"base":   "fedora\tport\ttcp any:22 sshd",
		"kind":   "both\tdoor\ttcp any:22 sshd",
		"twice":  "both\tport\tx\ndev\tport\tx",
	} {
		if _, err := Parse(line + "\n"); err == nil {
			t.Errorf("%s: taken: %q", name, line)
		}
	}
}

func TestChangesAndUpdate(t *testing.T) {
	const before = "both\tport\ttcp any:22 sshd\n" + "dev\tport\ttcp any:80 httpd\n" + "both\tset-id\t/usr/bin/sudo\n" + "release\tset-id\t/usr/bin/su\n"
	ssh, http, dns, sudo, su := Entry{Port, "tcp any:22 sshd"}, Entry{Port, "tcp any:80 httpd"}, Entry{Port, "udp any:53 dns"}, Entry{SetID, "/usr/bin/sudo"}, Entry{SetID, "/usr/bin/su"}
	for title, test := range map[string]struct {
		base        Base
		of          []Kind
		seen        []Entry
		added, gone []Entry
		after       map[Entry]string
	}{
		"the same":          {Dev, Booted, []Entry{ssh, http}, nil, nil, map[Entry]string{ssh: both, http: "dev", sudo: both, su: "release"}},
		"of another kind":   {Dev, Booted, []Entry{ssh, http, su}, nil, nil, map[Entry]string{su: "release"}},
		"added":             {Dev, Booted, []Entry{ssh, http, dns}, []Entry{dns}, nil, map[Entry]string{dns: "dev", ssh: both}},
		"added to one base": {Release, Booted, []Entry{ssh, http}, []Entry{http}, nil, map[Entry]string{http: both}},
		"gone":              {Dev, Booted, []Entry{http}, nil, []Entry{ssh}, map[Entry]string{ssh: "release"}},
		"gone from all":     {Release, Image, []Entry{sudo}, nil, []Entry{su}, map[Entry]string{su: "", sudo: both, http: "dev"}},
	} {
		table, err := Parse(before)
		if err != nil {
			t.Fatal(err)
		}
		added, gone := table.Changes(test.base, test.of, test.seen)
		if !slices.Equal(added, test.added) || !slices.Equal(gone, test.gone) {
			t.Errorf("%s: added %v, gone %v; want %v, %v", title, added, gone, test.added, test.gone)
		}
		table.Update(test.base, test.of, test.seen)
		for entry, want := range test.after {
			got := ""
			if on := table[entry]; len(on) > 0 {
				got = name(on)
			}
			if got != want {
				t.Errorf("%s: %v is on %q, want %q", title, entry, got, want)
			}
		}
		again, err := Parse(table.String())
		if err != nil || again.String() != table.String() {
			t.Errorf("%s: the text is not read as it was written: %v", title, err)
		}
	}
}

func TestStringIsWhole(t *testing.T) {
	table := Table{}
	for _, kind := range slices.Concat(Image, Booted) {
		table[Entry{kind, "x"}] = bases
	}
	for _, kind := range slices.Concat(Image, Booted) {
		if !strings.Contains(table.String(), both+"\t"+string(kind)+"\tx\n") {
			t.Errorf("the text has no %s", kind)
		}
	}
}
