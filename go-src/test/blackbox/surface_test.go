package blackbox

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"coreos/test/machine"
	"coreos/test/suite"
	"coreos/test/surface"
)

// observe prints what a machine exposes, as lines KIND TAB WHAT.
const observe = `
unit_files() { SYSTEMD_OFFLINE=1 systemctl "$@" list-unit-files --no-legend --no-pager --plain | awk '$2 != "generated" && $2 != "transient" { print $1, $2 }'; }
# Whether a serial console has a login is said by a generator.
unit_files | sed 's/^serial-getty@.service indirect$/serial-getty@.service disabled/' >/tmp/units
unit_files --global | sed 's/^/user-unit\t/'
# Names of other units are not in its output, but those that they stand for.
systemd-analyze security --offline=true --no-pager $(awk '$1 ~ /\.service$/ && $2 != "masked" && $2 != "alias" { print $1 }' /tmp/units) 2>/dev/null |
	sed -n 's/^→ Overall exposure level for \(.*\): \([0-9.]*\) .*/\1 \2/p' | sed 's/@test_instance\./@./' >/tmp/exposures
awk 'NR == FNR { of[$1] = $2; next } { print "unit\t" $1, $2, of[$1] }' /tmp/exposures /tmp/units | sed 's/ $//'
find /usr /etc /var /opt /home /root -xdev -type f -perm /6000 -printf 'set-id\t%p %M %u:%g\n'
getcap -r /usr /etc /var /opt 2>/dev/null | sed 's/^/capability\t/'
# Clients for the time and for names take any port for an answer; the kernel chooses high ports.
ss -Hltunp | awk '{
	program = $7; sub(/^users:\(\("/, "", program); sub(/".*/, "", program)
	port = $5; sub(/.*:/, "", port)
	address = substr($5, 1, length($5) - length(port) - 1); sub(/%.*/, "", address)
	if ($1 == "udp" && port + 0 >= 32768 && program ~ /^systemd-(timesyn|resolve)/) next
	if (port + 0 >= 32768) port = "high"
	if (address ~ /^(0\.0\.0\.0|\*|\[::\])$/) address = "any"
	else if (address !~ /^(127\.|\[::1\])/) address = "own"
	print "port\t" $1, address ":" port, program
}' | sort -u
ss -Hlx | awk '$5 ~ /^@/ { print "socket\t" $5 }' | sort -u
setpriv --reuid=65534 --regid=65534 --clear-groups find / /dev /dev/mqueue /dev/shm /run /tmp /var /etc -xdev -path /run/machine -prune -o -writable \
	\( -type s -printf 'socket\t%p %M\n' -o ! -type l -printf 'writable\t%p %M\n' \) 2>/dev/null | sort -u
rm /tmp/units /tmp/exposures
true`

// writing is held while the table's file is written.
var writing sync.Mutex

// exposes compares what a machine exposes with the table. A machine on the host's kernel has
// less than others of what the kernel, its devices and udev provide, but nothing more.
func exposes(t *suite.T, m *machine.Machine) {
	t.Helper()
	base := baseOf(t, m)
	var seen []surface.Entry
	for line := range strings.SplitSeq(t.Run(m, observe), "\n") {
		kind, what, ok := strings.Cut(line, "\t")
		if !ok {
			t.Fatalf("what the machine exposes: %q", line)
		}
		seen = append(seen, surface.Entry{Kind: surface.Kind(kind), What: what})
	}
	if os.Getenv("COREOS_SURFACE") == "write" {
		writeSurface(t, base, seen)
		return
	}
	table, err := surface.Load()
	t.Must(err)
	added, gone := table.Changes(base, surface.Image, seen)
	moreAdded, moreGone := table.Changes(base, surface.Booted, seen)
	added = append(added, moreAdded...)
	if !t.Native() {
		gone = append(gone, moreGone...)
	}
	for _, entry := range added {
		t.Errorf("%s: this image (%s) has and the table has not: %s %s", surface.File, base, entry.Kind, entry.What)
	}
	for _, entry := range gone {
		t.Errorf("%s: the table has and this image (%s) has not: %s %s", surface.File, base, entry.Kind, entry.What)
	}
	if len(added)+len(gone) > 0 {
		t.Error("if that is meant, write the table by make surface, and commit it with the reason")
	}
}

// baseOf tells the base of a machine's system by where its libraries are.
func baseOf(t *suite.T, m *machine.Machine) surface.Base {
	t.Helper()
	if t.Run(m, "ls -d /usr/lib/*-linux-gnu 2>/dev/null || true") != "" {
		return surface.Dev
	}
	return surface.Release
}

// writeSurface makes the table say what a machine has.
func writeSurface(t *suite.T, base surface.Base, seen []surface.Entry) {
	writing.Lock()
	defer writing.Unlock()
	path := filepath.Join(t.Env.Top, "go-src", surface.File)
	text, err := os.ReadFile(path)
	t.Must(err)
	table, err := surface.Parse(string(text))
	t.Must(err)
	table.Update(base, surface.Image, seen)
	if t.Native() {
		table.Add(base, surface.Booted, seen)
	} else {
		table.Update(base, surface.Booted, seen)
	}
	t.Must(os.WriteFile(path, []byte(table.String()), 0o644))
}
