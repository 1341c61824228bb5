// Package rootfs prepares the root file system of a machine for systemd: it makes the few
// directories and links that mounts need, mounts /etc over the defaults in /usr, and
// provisions the machine at its first boot. The initramfs does that on a disk; machines of
// tests that run on the host's kernel do it in a directory.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"coreos/internal/host/platform"
	"coreos/internal/provision/firstboot"
)

// MountOptions are those of ROOT, an ext4. Of its blocks 5 % are reserved. By default they are for
// user 0, which is the user of most containers, too: so a container could leave no room for the
// system. They are for the group diskreserve (post-fakeroot.sh) and for who has CAP_SYS_RESOURCE,
// as Docker, systemd and root's shells have, and a container has not. No user has this number.
const MountOptions = "resuid=240,resgid=240"

// LayOut makes the directories and links that mounts and the merged /usr need; usr is the
// current mount point of /usr. systemd-tmpfiles makes all others.
func LayOut(root, usr string) error {
	for _, dir := range []string{"etc", ".etc-work", "usr", "oem", "dev", "proc", "sys", "run"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"var", "tmp"} {
		// Nothing is mounted there yet. An operator's link, such as /tmp to /var/tmp, leads
		// somewhere only when root has become /.
		path := filepath.Join(root, dir)
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if _, err := os.Stat(filepath.Join(usr, name)); err != nil {
			continue
		}
		err := os.Symlink("usr/"+name, filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// MountEtc mounts /etc of a root file system whose /usr is mounted. The slot's /etc is the
// lower layer; the upper one has the changes of this machine.
func MountEtc(root string) error {
	etc := filepath.Join(root, "etc")
	// Without redirects and indexes the lower layer may be replaced by an update.
	data := "lowerdir=" + filepath.Join(root, "usr/share/coreos/etc") + ",upperdir=" + etc +
		",workdir=" + filepath.Join(root, ".etc-work") + ",redirect_dir=off,index=off,metacopy=off"
	if err := unix.Mount("etc", etc, "overlay", 0, data); err != nil {
		return fmt.Errorf("mount an overlay on %s: %w", etc, err)
	}
	return nil
}

// Provisioning are the inputs of Provision.
type Provisioning struct {
	Cmdline   string // the kernel command line
	FirstBoot bool   // the result of firstboot.Begin
	Log       firstboot.Log
}

// Provision records the platform and, at the first boot, runs Ignition. The root file
// system must be / already.
func (p Provisioning) Provision(ctx context.Context) error {
	id := platform.Detect(p.Cmdline, platform.OEMRelease, platform.DMIDir)
	if id != platform.Metal && id != platform.QEMU {
		if err := os.WriteFile(platform.Record, []byte(id+"\n"), 0o644); err != nil {
			p.Log.Warning("%v", err)
		}
	}
	if !p.FirstBoot {
		return nil
	}
	first := firstboot.FirstBoot{Cmdline: p.Cmdline, Platform: id, Log: p.Log}
	if err := first.Run(ctx); err != nil {
		return err
	}
	return firstboot.Finish("/")
}
