package blackbox

import (
	"maps"
	"slices"
	"strings"

	"coreos/test/machine"
	"coreos/test/suite"
)

// sysctls are the kernel's parameters that decide who may do what, with their values on each
// base. docs/security.md says why.
var sysctls = map[string]string{
	"fs.protected_fifos":                        "2",
	"fs.protected_hardlinks":                    "1",
	"fs.protected_regular":                      "2",
	"fs.protected_symlinks":                     "1",
	"fs.suid_dumpable":                          "2",
	"kernel.dmesg_restrict":                     "1",
	"kernel.kexec_load_disabled":                "1",
	"kernel.kptr_restrict":                      "1",
	"kernel.panic":                              "5",
	"kernel.panic_on_oops":                      "1",
	"kernel.pid_max":                            "4194304",
	"kernel.randomize_va_space":                 "2",
	"kernel.sysrq":                              "16",
	"kernel.unprivileged_bpf_disabled":          "1",
	"kernel.yama.ptrace_scope":                  "1",
	"net.ipv4.conf.all.accept_redirects":        "0",
	"net.ipv4.conf.all.accept_source_route":     "0",
	"net.ipv4.conf.all.secure_redirects":        "0",
	"net.ipv4.conf.all.send_redirects":          "0",
	"net.ipv4.conf.default.accept_redirects":    "0",
	"net.ipv4.conf.default.accept_source_route": "0",
	"net.ipv4.conf.default.promote_secondaries": "1",
	"net.ipv4.conf.default.rp_filter":           "2",
	"net.ipv4.conf.default.send_redirects":      "0",
	"net.ipv4.conf.lo.rp_filter":                "2",
	"net.ipv4.icmp_echo_ignore_broadcasts":      "1",
	"net.ipv4.ip_forward":                       "1",
	"net.ipv4.ping_group_range":                 "0 2147483647",
	"net.ipv4.tcp_syncookies":                   "1",
	"net.ipv6.conf.all.accept_redirects":        "0",
	"net.ipv6.conf.all.accept_source_route":     "0",
	"net.ipv6.conf.default.accept_redirects":    "0",
	"net.ipv6.conf.lo.accept_redirects":         "0",
	"vm.max_map_count":                          "262144",
}

// parameters checks the kernel's parameters, and the files that set them. A machine on the
// host's kernel has only those of the network for itself.
func parameters(t *suite.T, m *machine.Machine) {
	t.Helper()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(sysctls)) {
		if !t.Native() || strings.HasPrefix(name, "net.") {
			names = append(names, name)
		}
	}
	values := parameterValues(t, m, names)
	for _, name := range names {
		t.Equal("parameter "+name, values[name], sysctls[name])
	}
	t.Equal("files of parameters", t.Run(m, "cd /usr/lib/sysctl.d && ls"), "50-coredump.conf\n50-coreos.conf\n50-kexec.conf")
	t.Equal("weak codes of authentication", t.Run(m, `sshd -T | grep '^macs' | tr ' ,' '\n\n' | grep -E 'sha1|umac-64' || true`), "")
	t.Run(m, "setpriv --reuid=core --regid=core --clear-groups ping -c 1 -W 10 127.0.0.1")
}

// parameterValues reads parameters of the kernel by one process: there are many, and each process
// takes a while in QEMU. A parameter that does not exist has no value.
func parameterValues(t *suite.T, m *machine.Machine, names []string) map[string]string {
	t.Helper()
	paths := strings.ReplaceAll(strings.Join(names, " "), ".", "/")
	values := map[string]string{}
	for line := range strings.Lines(t.Run(m, "cd /proc/sys && grep -s '' "+paths+" || true")) {
		path, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		values[strings.ReplaceAll(path, "/", ".")] = strings.ReplaceAll(value, "\t", " ")
	}
	return values
}
