package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

// Lab is where machines run on the host's kernel: containers of systemd-nspawn whose /usr
// is the image's, read-only, whose / is a directory that outlives a restart, and that have
// network namespaces of their own. What tests the kernel, firmware, boot loader, disk or
// dm-verity needs QEMU. A program has one Lab, after Isolate.
type Lab struct {
	dir    string   // for what belongs to no machine
	images string   // directory of the image's files
	init   string   // the machines' first program
	group  *os.File // directory of cgroup 2 for the machines, locked
	usr    *loop
	boot   *loop
	dhcp   []*exec.Cmd
	ipv6   func() error // makes the network without IPv4, once
	hosts  string       // directory that tells the DHCP server of machines
	efi    []byte       // the partition EFI-SYSTEM of a machine with two good slots
}

// NeededTools are the programs that a Lab runs.
var NeededTools = []string{"systemd-nspawn", "dnsmasq", "ip", "unshare"}

// OpenLab makes a lab for machines of the image whose files are in the directory images.
// go-src is the tree's module. An error says what the host cannot do.
func OpenLab(dir, images, goSrc string) (_ *Lab, err error) {
	if !inside(os.Getenv(isolated), os.Getpid()) {
		return nil, errors.New("this process has no namespaces of its own")
	}
	for _, name := range NeededTools {
		if _, err := exec.LookPath(name); err != nil {
			return nil, err
		}
	}
	l := &Lab{dir: dir, images: images, init: filepath.Join(dir, "init"), hosts: filepath.Join(dir, "hosts")}
	l.ipv6 = sync.OnceValue(l.makeIPv6Network)
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	for _, step := range []func() error{
		l.mountUsr,
		l.tryOverlay,
		l.makeCgroup,
		l.prepareEFI,
		func() error { return l.buildInit(goSrc) },
		l.makeUserNetwork,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Close releases what would outlive this process.
func (l *Lab) Close() {
	if l.group != nil {
		_ = removeCgroup(l.group.Name())
		_ = l.group.Close()
	}
	for _, dhcp := range l.dhcp {
		_ = dhcp.Process.Kill()
		_ = dhcp.Wait()
	}
	_ = unix.Unmount(l.usrDir(), unix.MNT_DETACH)
	for _, device := range []*loop{l.usr, l.boot} {
		if device != nil {
			_ = device.Close()
		}
	}
}

// usrDir is the mount point of the image's /usr.
func (l *Lab) usrDir() string { return filepath.Join(l.dir, "usr") }

func (l *Lab) image(content string) string {
	return filepath.Join(l.images, "coreos_production_"+content+".img")
}

func (l *Lab) mountUsr() (err error) {
	if l.usr, err = openLoop(l.image("usr"), os.O_RDONLY); err != nil {
		return err
	}
	if l.boot, err = openLoop(l.image("boot"), os.O_RDONLY); err != nil {
		return err
	}
	if err := os.MkdirAll(l.usrDir(), 0o755); err != nil {
		return err
	}
	if err := unix.Mount(l.usr.Name(), l.usrDir(), "erofs", unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount the image's /usr, an EROFS: %w", err)
	}
	return nil
}

// tryOverlay finds out whether overlays work on the file system, for /etc and for
// containers.
func (l *Lab) tryOverlay() error {
	dir := filepath.Join(l.dir, "try")
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", l.usrDir(), dir, dir)
	if err := unix.Mount("try", dir+"/merged", "overlay", 0, data); err != nil {
		return fmt.Errorf("an overlay on the file system of %s: %w", l.dir, err)
	}
	return unix.Unmount(dir+"/merged", 0)
}

// prepareEFI takes the partition EFI-SYSTEM of the image and marks both slots good.
func (l *Lab) prepareEFI() error {
	raw := filepath.Join(l.images, "coreos_production_image.bin")
	extent, err := (&Disk{Path: raw, raw: true}).Partition(disk.EFISystemLabel)
	if err != nil {
		return fmt.Errorf("%s: %w", raw, err)
	}
	if l.efi, err = (&Disk{Path: raw, raw: true}).Read(extent.Offset, extent.Size); err != nil {
		return err
	}
	offset, err := grubenv.Locate(strings.NewReader(string(l.efi)))
	if err != nil {
		return err
	}
	block := l.efi[offset : offset+grubenv.Size]
	env, err := grubenv.Parse(block)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"A_OK": "1", "B_TRIES": fmt.Sprint(slot.MaxTries), "B_OK": "1", "B_WHY": ""} {
		env[name] = value
	}
	changed, err := env.Format()
	copy(block, changed)
	return err
}

// buildInit builds the machines' first program, static: it starts before /usr is complete.
func (l *Lab) buildInit(goSrc string) error {
	build := exec.Command("go", "build", "-buildvcs=false", "-o", l.init, "./test/machine/init")
	build.Dir = goSrc
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the machines' init: %w: %s", err, out)
	}
	return nil
}

// makeUserNetwork makes the bridge to the host, with a DHCP server.
func (l *Lab) makeUserNetwork() error {
	err := ip(
		"link add "+userBridge+" type bridge",
		"address add "+HostInMachine+"/24 dev "+userBridge,
		"link set "+userBridge+" up")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.hosts, 0o755); err != nil {
		return err
	}
	return l.serveDHCP(userBridge, "--dhcp-authoritative", "--no-ping",
		"--dhcp-range="+userPrefix+"0,static,255.255.255.0,1h", "--dhcp-option=option:router,"+HostInMachine,
		"--dhcp-hostsdir="+l.hosts, "--dhcp-leasefile="+filepath.Join(l.dir, "leases"))
}

// makeIPv6Network makes the bridge to the host for machines without IPv4, with a router's
// advertisements.
func (l *Lab) makeIPv6Network() error {
	err := ip(
		"link add "+ipv6Bridge+" type bridge",
		"address add "+HostInMachineIPv6+"/64 dev "+ipv6Bridge+" nodad",
		"link set "+ipv6Bridge+" up")
	if err != nil {
		return err
	}
	return l.serveDHCP(ipv6Bridge, "--enable-ra", "--dhcp-range=::,constructor:"+ipv6Bridge+",ra-only,64,1h")
}

// serveDHCP starts a DHCP server without DNS on a bridge.
func (l *Lab) serveDHCP(bridge string, args ...string) error {
	log, err := os.Create(filepath.Join(l.dir, "dhcp-"+bridge+".log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	dhcp := exec.Command("dnsmasq", append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file=",
		"--interface=" + bridge, "--bind-interfaces", "--log-facility=-"}, args...)...)
	dhcp.Stdout, dhcp.Stderr = log, log
	if err := dhcp.Start(); err != nil {
		return err
	}
	l.dhcp = append(l.dhcp, dhcp)
	return nil
}

// lease tells the DHCP server of a machine, and the hostname of its lease if it has one.
func (l *Lab) lease(mac, address, hostname string) error {
	return os.WriteFile(filepath.Join(l.hosts, strings.ReplaceAll(mac, ":", "")), []byte(strings.TrimSuffix(mac+","+address+","+hostname, ",")+"\n"), 0o644)
}
