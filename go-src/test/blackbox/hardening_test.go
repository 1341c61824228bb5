package blackbox

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"coreos/test/machine"
	"coreos/test/suite"
	"coreos/test/surface"
)

// hardening is what docs/hardening.md says of a machine: names with their values.
type hardening struct {
	arguments, parameters map[string]string
	options               map[string]map[surface.Base]string
}

// absent is the value of an argument that has to be missing.
const absent = "is not there"

var inCode = regexp.MustCompile("`([^`]+)`")

// readHardening reads the tables of the page. All names in the first cell of a row have the
// values of the row.
func readHardening(t *suite.T) hardening {
	t.Helper()
	file, err := os.Open(filepath.Join(t.Env.Top, "docs/hardening.md"))
	t.Must(err)
	defer func() { _ = file.Close() }()
	h := hardening{map[string]string{}, map[string]string{}, map[string]map[surface.Base]string{}}
	heading := ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if title, ok := strings.CutPrefix(lines.Text(), "## "); ok {
			heading = title
		}
		cells := strings.Split(lines.Text(), "|")
		if len(cells) < 5 {
			continue
		}
		for _, name := range inCode.FindAllStringSubmatch(cells[1], -1) {
			switch heading {
			case "Command line":
				h.arguments[name[1]] = strings.TrimSpace(cells[2])
			case "Parameters":
				h.parameters[name[1]] = strings.TrimSpace(cells[2])
			case "Kernel configuration":
				h.options[name[1]] = map[surface.Base]string{surface.Dev: strings.TrimSpace(cells[2]), surface.Release: strings.TrimSpace(cells[3])}
			}
		}
	}
	t.Must(lines.Err())
	if len(h.arguments) < 50 || len(h.parameters) < 30 || len(h.options) < 200 {
		t.Fatalf("docs/hardening.md has tables of %d, %d and %d names", len(h.arguments), len(h.parameters), len(h.options))
	}
	return h
}

// hardened compares a machine with docs/hardening.md.
func hardened(t *suite.T, m *machine.Machine) {
	t.Helper()
	h := readHardening(t)
	arguments := map[string]string{}
	for _, word := range strings.Fields(t.Run(m, "cat /proc/cmdline")) {
		name, value, _ := strings.Cut(word, "=")
		arguments[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(h.arguments)) {
		got, given := arguments[name]
		if !given {
			got = absent
		}
		t.Equal("kernel's argument "+name, got, h.arguments[name])
	}

	values := parameterValues(t, m, slices.Sorted(maps.Keys(h.parameters)))
	for _, name := range slices.Sorted(maps.Keys(h.parameters)) {
		t.Equal("parameter "+name, values[name], h.parameters[name])
	}

	base, options := baseOf(t, m), map[string]string{}
	// Debian's kernel does not have its configuration in itself.
	for line := range strings.Lines(t.Run(m, "zcat /proc/config.gz 2>/dev/null || cat /usr/lib/modules/$(uname -r)/config")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			options[strings.TrimPrefix(name, "CONFIG_")] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.options)) {
		got, set := options[name]
		if !set {
			got = "n"
		}
		t.Equal("option "+name+" of the kernel", got, h.options[name][base])
	}
}

// spoil makes copies of a module on ROOT: as it is, with a changed byte, and without its
// signature, whose length is at the end of the file (struct module_signature).
const spoil = `cd /root && cp "$(modinfo -n dummy)" good.ko && cp good.ko spoiled.ko &&
printf '\001' | dd of=spoiled.ko bs=1 seek=2000 conv=notrunc status=none && ! cmp -s good.ko spoiled.ko &&
tail -c 28 good.ko | grep -qx '~Module signature appended~' &&
head -c -$((40 + $(tail -c 32 good.ko | head -c 4 | od -An -tu4 --endian=big))) good.ko >unsigned.ko`

// ringZero checks that root is not the kernel.
func ringZero(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Equal("lockdown", t.Run(m, "cat /sys/kernel/security/lockdown"), "none [integrity] confidentiality")
	t.Fails(m, "echo none >/sys/kernel/security/lockdown")
	t.Run(m, spoil)
	for _, module := range []string{"unsigned", "spoiled"} {
		t.Fails(m, "insmod /root/"+module+".ko")
		t.Equal("a module from "+module+".ko", t.Run(m, "grep -c ^dummy /proc/modules || true"), "0")
	}
	if baseOf(t, m) == surface.Release { // Debian's kernel has no LoadPin
		t.Fails(m, "insmod /root/good.ko")
		t.Fails(m, "echo 0 >/proc/sys/kernel/loadpin/enforce")
	}
	t.Run(m, "modprobe dummy numdummies=0 && modprobe -r dummy && rm /root/*.ko")
	t.Fails(m, "head -c 1 /dev/mem")
	t.Fails(m, "head -c 1 /dev/port")
	t.Fails(m, "echo 0 >/proc/sys/kernel/kexec_load_disabled")
	t.Run(m, "mkdir -p /run/debug")
	t.Fails(m, "mount -t debugfs none /run/debug")
	// Root still traces.
	t.Run(m, "cd /sys/kernel/tracing && echo 'p:coreos do_sys_openat2' >kprobe_events && echo >kprobe_events")
}
