package machine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/rootfs"
	"coreos/internal/provision/firstboot"
)

// Root takes the place of a disk in a machine of a lab: a directory with the root file
// system, and beside it the partition EFI-SYSTEM, which has the state of the slots.
type Root struct {
	lab  *Lab
	path string
}

// NewRoot makes the root file system name in dir for a new machine, whose slots are both
// good.
func (l *Lab) NewRoot(dir, name string) (*Root, error) {
	r := &Root{l, filepath.Join(dir, name+".root")}
	if err := os.MkdirAll(r.dir(), 0o755); err != nil {
		return nil, err
	}
	return r, os.WriteFile(r.efi(), l.efi, 0o600)
}

// NewLimitedRoot makes a root file system that is an ext4 of its own, so that it can be full. The
// returned function takes it away.
func (l *Lab) NewLimitedRoot(dir, name string, size int64) (*Root, func() error, error) {
	r, err := l.NewRoot(dir, name)
	if err != nil {
		return nil, nil, err
	}
	image := filepath.Join(r.path, "ext4")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		return nil, nil, err
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-J", "size=8", image).CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("mke2fs %s: %w: %s", image, err, out)
	}
	device, err := openLoop(image, os.O_RDWR)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = device.Close() }() // the mount keeps it
	if err := unix.Mount(device.Name(), r.dir(), "ext4", 0, rootfs.MountOptions); err != nil {
		return nil, nil, fmt.Errorf("mount %s: %w", image, err)
	}
	return r, func() error { return unix.Unmount(r.dir(), unix.MNT_DETACH) }, nil
}

func (r *Root) dir() string { return filepath.Join(r.path, "root") }
func (r *Root) efi() string { return filepath.Join(r.path, "efi-system") }

// OEM is the directory that the machine has as its partition OEM.
func (r *Root) OEM() string { return filepath.Join(r.path, "oem") }

// native is the hardware of a machine on the host's kernel.
type native struct {
	lab    *Lab
	config *Config
	number int32
	name   string
	mac1   string
	relays []net.Listener
	on     *container // for its interfaces and its button
}

// firstNumber leaves room for the host's addresses.
const firstNumber = 16

func newNative(config *Config, key *Key) (*native, error) {
	n := firstNumber + number.Add(1)
	h := &native{lab: config.Root.lab, config: config, number: n, name: fmt.Sprintf("m%d", n)}
	h.mac1 = config.MAC
	if h.mac1 == "" {
		h.mac1 = fmt.Sprintf("52:54:00:c0:%02x:%02x", n>>8, n&255)
	}
	if n > 254 {
		return nil, errors.New("the user network has no address left")
	}
	if config.IPv6Only {
		if err := h.lab.ipv6(); err != nil {
			return nil, err
		}
	} else if err := h.lab.lease(userMAC(n), h.host(), config.NameByDHCP); err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(h.given(), 0o755), os.MkdirAll(config.Root.OEM(), 0o755)); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(h.given(), "ssh-key"), key.authorized(), 0o644); err != nil {
		return nil, err
	}
	return h, h.relayMetadata()
}

// given is the directory with the files for the machine's init.
func (h *native) given() string { return filepath.Join(h.config.Root.path, "machine") }

func (h *native) host() string {
	if h.config.IPv6Only { // by its MAC address, as routers' advertisements have it
		return fmt.Sprintf("%s5054:ff:fe0a:%x", ipv6Prefix, h.number)
	}
	return fmt.Sprintf("%s%d", userPrefix, h.number)
}

// bridge is the network on which the machine reaches the host.
func (h *native) bridge() string {
	if h.config.IPv6Only {
		return ipv6Bridge
	}
	return userBridge
}

func (h *native) address(port int) string { return net.JoinHostPort(h.host(), strconv.Itoa(port)) }

func (h *native) mac() string { return h.mac1 }

func (h *native) plug(in bool) error {
	if h.on == nil {
		return fmt.Errorf("machine %s is off", h.config.Name)
	}
	return h.on.wire.plug(h.config.Network, in)
}

func (h *native) pressButton() error { return h.on.command.Process.Signal(unix.SIGTERM) }

func (h *native) scrap() {
	for _, relay := range h.relays {
		_ = relay.Close()
	}
}

// container is a machine that is on.
type container struct {
	wire    *wire
	cgroup  string
	group   *os.File
	efi     *loop
	command *exec.Cmd
}

func (h *native) powerOn(console io.Writer) (_ power, err error) {
	root := h.config.Root
	first, err := firstboot.Begin(root.dir())
	if err != nil {
		return nil, err
	}
	if err := rootfs.LayOut(root.dir(), h.lab.usrDir()); err != nil {
		return nil, err
	}
	if err := h.handOver(first); err != nil {
		return nil, err
	}
	c := &container{cgroup: filepath.Join(h.lab.group.Name(), h.name)}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if c.wire, err = newWire(h.name, h.bridge(), userMAC(h.number), h.config.Network, h.mac1); err != nil {
		return nil, err
	}
	if c.efi, err = openLoop(root.efi(), os.O_RDWR); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.cgroup, 0o755); err != nil {
		return nil, err
	}
	if c.group, err = os.Open(c.cgroup); err != nil {
		return nil, err
	}
	c.command = h.nspawn(c.efi)
	c.command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(c.group.Fd())}
	c.command.Stdout, c.command.Stderr = console, console
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("start systemd-nspawn: %w", err)
	}
	h.on = c
	return c, nil
}

// runInMachine is the path of that directory in the machine.
const runInMachine = "/run/machine"

// nspawn returns the command that runs the machine. The machine must not touch what all
// share: it has no capability for clocks and modules, and cannot load another kernel.
func (h *native) nspawn(efi *loop) *exec.Cmd {
	root := h.config.Root
	args := []string{
		"systemd-nspawn", "--quiet", "--directory=" + root.dir(), "--machine=" + h.name, "--hostname=localhost",
		"--settings=no", "--register=no", "--keep-unit", "--console=read-only",
		"--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYSLOG",
		"--system-call-filter=@known", "--system-call-filter=~kexec_load kexec_file_load swapon swapoff",
		"--network-namespace-path=/run/netns/" + h.name,
		"--kill-signal=SIGRTMIN+4", // power off
		"--bind-ro=" + h.lab.usrDir() + ":/usr",
		"--bind-ro=" + root.OEM() + ":/oem",
		"--bind=" + h.given() + ":" + runInMachine,
		"--bind-ro=" + h.lab.init + ":" + runInMachine + "/init",
		"--load-credential=ssh.authorized_keys.root:" + filepath.Join(h.given(), "ssh-key"),
	}
	if _, err := os.Stat("/dev/fuse"); err == nil {
		args = append(args, "--bind=/dev/fuse")
	}
	for name, device := range h.lab.partitions(efi) {
		args = append(args, "--bind="+device.Name()+":/dev/"+name)
	}
	args = append(args, runInMachine+"/init")
	if up := int64(h.config.Uptime.Seconds()); up > 0 {
		offset := strconv.FormatInt(up, 10)
		args = append([]string{"unshare", "--time", "--monotonic", offset, "--boottime", offset}, args...)
	}
	command := exec.Command(args[0], args[1:]...)
	command.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	return command
}

func (c *container) cut() {
	_ = killCgroup(c.cgroup)
	_ = c.command.Process.Kill()
}

// restartStatus is systemd-nspawn's exit status for a machine that wants to restart.
const restartStatus = 133

func (c *container) wait() (restart bool) {
	_ = c.command.Wait()
	restart = c.command.ProcessState.ExitCode() == restartStatus
	c.release()
	return restart
}

// release releases the resources of a machine that was on.
func (c *container) release() {
	_ = emptyCgroup(c.cgroup)
	if c.group != nil {
		_ = c.group.Close()
	}
	_ = removeCgroup(c.cgroup)
	if c.efi != nil {
		_ = c.efi.Close()
	}
	if c.wire != nil {
		_ = c.wire.remove()
	}
}
