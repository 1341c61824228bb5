package ignition

import "slices"

// Accounts and shells of the images of both bases. A test on a machine compares them.
var (
	imageUsers = []string{
		"bin", "core", "daemon", "etcd", "mail", "nobody", "root", "sshd", "sync", "sys", "systemd-coredump",
		"systemd-network", "systemd-resolve", "systemd-timesync", "www-data",
	}
	imageGroups = []string{
		"adm", "audio", "bin", "cdrom", "core", "daemon", "dialout", "disk", "docker", "etcd", "fleet", "floppy", "input", "kmem",
		"kvm", "lp", "mail", "nobody", "operator", "plugdev", "render", "rkt", "root", "sgx", "staff", "sudo", "sys",
		"systemd-coredump", "systemd-journal", "systemd-network", "systemd-resolve", "systemd-timesync", "tape", "tty",
		"users", "utmp", "video", "wheel", "www-data",
	}
	imageShells = []string{
		"/bin/bash", "/bin/false", "/bin/sh", "/bin/true", "/sbin/nologin", "/usr/bin/bash", "/usr/bin/false", "/usr/bin/sh",
		"/usr/bin/true", "/usr/sbin/nologin",
	}
)

// Image returns the users, groups and shells that an image has on both bases.
func Image() (users, groups, shells []string) {
	return slices.Clone(imageUsers), slices.Clone(imageGroups), slices.Clone(imageShells)
}
