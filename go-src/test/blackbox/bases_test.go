package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "bases", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "on whichever base: what the image exposes, the tools that people and scripts count on, and one choice where builds of systemd differ",
		Run: func(t *suite.T) {
			m := running(t)
			exposes(t, m) // before the others start something
			tools(t, m)
			removed(t, m)
			defaults(t, m)
			parameters(t, m)
			if !t.Native() {
				kernel(t, m)
			}
			groups(t, m)
		},
	})
}

// tools checks that commands exist. It leaves out those that a base happens to have and nobody
// chose.
func tools(t *suite.T, m *machine.Machine) {
	commands := []string{
		"awk", "bash", "column", "diff", "find", "grep", "gzip", "hexdump", "hostname", "jq", "less", "sed", "tar", "vi", "which", "xz", "zstd", // texts, files
		"fuser", "ipcs", "killall", "lsof", "ps", "pstree", "sudo", "su", "top", "getcap", "clear", "reset", // processes, terminals
		"blkid", "btrfs", "cryptsetup", "fallocate", "fdisk", "lsblk", "lspci", "mdadm", "mkfs.ext4", "mkfs.vfat", "mkfs.xfs", "sgdisk", // disks
		"bridge", "conntrack", "curl", "ethtool", "ip", "ipset", "iptables", "nft", "openssl", "ping", "socat", "ss", "ssh", "tc", // network; Kubernetes wants some
		"busctl", "coredumpctl", "hostnamectl", "journalctl", "loginctl", "networkctl", "resolvectl", "systemd-analyze", "timedatectl", // systemd
		"containerd", "ctr", "docker", "runc",
	}
	t.Equal("missing commands", t.Run(m, "for c in "+strings.Join(commands, " ")+"; do command -v $c >/dev/null || echo $c; done"), "")
	t.Run(m, "curl --version") // of the many libraries that it is linked with, some are left out
	t.Equal("a user's shell with a name", t.Run(m, "su --login root --command hostname"), t.Run(m, "uname -n"))
	for _, terminal := range []string{"xterm-256color", "screen-256color", "tmux-256color", "linux", "vt220"} {
		t.Run(m, "TERM="+terminal+" clear")
	}
}

// removed checks that no file is left of those that the lists of board/coreos name, and that
// udev starts no unit that is among them.
func removed(t *suite.T, m *machine.Machine) {
	for list, dir := range map[string]string{"modules-remove.list": "/usr/lib/modules/*/kernel", "usr-remove.list": "/usr", "units-remove.list": "/usr/lib/systemd/system"} {
		patterns := boardList(t, list)
		for i, pattern := range patterns {
			patterns[i] = strings.Replace(pattern, "LIB/", "lib/{.,*-linux-gnu}/", 1)
		}
		t.Equal("files of "+list, t.Run(m, "cd "+dir+" && shopt -s nullglob && for f in "+strings.Join(patterns, " ")+"; do [ ! -e $f ] || echo $f; done"), "")
	}
	t.Equal("units that udev starts and that do not exist", t.Run(m, `cd /usr/lib/systemd/system
		grep -rho '{SYSTEMD_WANTS}+="[^"]*"' /usr/lib/udev/rules.d | cut -d'"' -f2 | sed 's/@.*\(\.[a-z]*\)$/@\1/' | sort -u | while read -r unit; do [ -e $unit ] || echo $unit; done`), "")
}

// boardList returns the entries of a list in board/coreos.
func boardList(t *suite.T, name string) (entries []string) {
	text, err := os.ReadFile(filepath.Join(t.Env.Top, "board/coreos", name))
	t.Must(err)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		entries = append(entries, strings.Fields(line)...)
	}
	return entries
}

// kernel checks the properties that only a machine with its own kernel and clock has.
func kernel(t *suite.T, m *machine.Machine) {
	t.Equal("servers of the time", t.Run(m, "timedatectl show-timesync --property=FallbackNTPServers --value"), "time.cloudflare.com")
	t.Equal("programs of other processors", t.Run(m, "cat /proc/sys/fs/binfmt_misc/status"), "enabled")
	t.Equal("lines of the journal that match", t.Run(m, "journalctl --boot --quiet --lines 1 --grep '^Linux version [0-9]+' | wc -l"), "1")
	t.Run(m, fmt.Sprintf("sh -c 'kill -SEGV $$'; timeout %d sh -c 'until coredumpctl --quiet list; do sleep 0.2; done'", t.Seconds(60)))
}

// defaults checks settings that are compiled into systemd in one way on Buildroot and in another
// on Debian.
func defaults(t *suite.T, m *machine.Machine) {
	t.Equal("name servers that nobody chose", t.Run(m, "resolvectl status --no-pager | grep -A9 '^ *Fallback DNS' || true"), "")
	t.Equal("logging out kills", t.Run(m, "busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager KillUserProcesses"), "b false")
}

// groups checks the names of groups, and which of them can read the journal.
func groups(t *suite.T, m *machine.Machine) {
	t.Equal("group 65534", t.Run(m, "getent group 65534 | cut -d: -f1; getent group nobody | cut -d: -f3"), "nobody\n65534")
	for group, lines := range map[string]string{"adm": "0", "systemd-journal": "1"} {
		t.Equal("lines of the journal for "+group, t.Run(m, "sudo -u nobody -g "+group+" journalctl --quiet --lines=1 2>/dev/null | wc -l"), lines)
	}
}
