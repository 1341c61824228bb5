package initramfs

import (
	"golang.org/x/sys/unix"

	"coreos/internal/boot/lockdown"
)

// lockDown engages the lockdown, before anything runs that is not verified. The kernel's
// argument lockdown= is too early: it would refuse the parameters of ramoops.
func (e *engine) lockDown() {
	e.mountIfKnown(mount{"securityfs", lockdown.Running.Security, "securityfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""})
	if err := lockdown.Running.Engage(); err != nil {
		e.log.Warning("%v; root can change the kernel", err)
	}
}

// pinModules has the kernel load modules only from the verified /usr from now on.
func (e *engine) pinModules() {
	if err := lockdown.Running.Pin("/usr/lib/os-release"); err != nil {
		e.log.Warning("%v", err)
	}
}
