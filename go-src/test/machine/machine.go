// Package machine starts real machines in QEMU for the black-box tests: from a
// throw-away copy of an image or from a saved state, with their console, SSH, a
// monitor, and a power switch.
package machine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/crypto/ssh"
)

// Firmware is what starts the machine.
type Firmware string

// The firmwares.
const (
	BIOS Firmware = "bios"
	UEFI Firmware = "uefi"
)

// Bus is how the disk is attached.
type Bus string

// The buses.
const (
	Virtio Bus = "virtio"
	SATA   Bus = "sata"
	NVMe   Bus = "nvme"
)

// ovmf is the UEFI firmware of Debian's package ovmf.
const ovmf = "/usr/share/OVMF/OVMF_CODE.fd"

// Config describes a machine. The zero value of each field is a sensible default.
type Config struct {
	Name     string   // in log file names
	Disk     *Disk    // required
	Firmware Firmware // BIOS
	Bus      Bus      // Virtio
	MemoryMB int      // 1024
	CPUs     int      // 1: several machines share the host's processors
	Cmdline  string   // added to the kernel command line
	LoadVM   string   // name of the saved state to start from
	Network  string   // from NewNetwork, shared by the machines of a test; none
	Args     []string // more arguments for QEMU
}

// Machine is a running machine.
type Machine struct {
	Console *Console
	Config  Config

	dir     string
	command *exec.Cmd
	exited  chan struct{}
	port    int
	key     *Key
	ssh     *ssh.Client // open connection, nil if none
	monitor string

	booting  bool // not up yet, as far as we know
	bootMark int  // position on the console from which on it says that it is
}

// Start switches a machine on. Its console log goes to dir.
func Start(dir string, key *Key, config Config) (*Machine, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	console, err := newConsole(filepath.Join(dir, config.Name+".console"))
	if err != nil {
		return nil, err
	}
	// The monitor's path has to be short: a socket's address holds 107 bytes.
	socketDir, err := os.MkdirTemp("", "vm")
	if err != nil {
		return nil, err
	}
	m := &Machine{
		Console: console, Config: config, dir: socketDir,
		exited: make(chan struct{}), booting: config.LoadVM == "", port: port, key: key, monitor: filepath.Join(socketDir, "qmp"),
	}
	m.command = exec.Command("qemu-system-x86_64", m.args()...)
	m.command.Stdout = console
	m.command.Stderr = console
	if console.input, err = m.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := m.command.Start(); err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	go func() {
		_ = m.command.Wait()
		console.end()
		close(m.exited)
	}()
	return m, nil
}

func (m *Machine) args() []string {
	c := &m.Config
	memory, cpus := c.MemoryMB, c.CPUs
	if memory == 0 {
		memory = 1024
	}
	if cpus == 0 {
		cpus = 1
	}
	args := []string{
		"-name", c.Name, "-machine", "q35", "-m", strconv.Itoa(memory), "-smp", strconv.Itoa(cpus),
		"-display", "none", "-serial", "stdio", "-qmp", "unix:" + m.monitor + ",server=on,wait=off",
		"-device", "virtio-rng-pci",
		"-nic", fmt.Sprintf("user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:%d-:22", m.port),
		"-smbios", "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=" + m.key.authorizedBase64(),
	}
	if c.Cmdline != "" { // the last string is the one that GRUB looks at
		args = append(args, "-smbios", "type=11,value=coreos.cmdline="+c.Cmdline)
	}
	args = append(args, accelerator()...)
	args = append(args, c.Disk.args(c.Bus)...)
	if c.Firmware == UEFI {
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+ovmf)
	}
	if c.Network != "" {
		args = append(args, "-nic", "socket,model=virtio-net-pci,mac="+m.MAC()+",mcast="+c.Network)
	}
	if c.LoadVM != "" {
		args = append(args, "-loadvm", c.LoadVM)
	}
	return append(args, c.Args...)
}

// accelerator picks KVM where it works. /dev/kvm alone says little: without the
// processor's module a machine hangs at its first instruction.
func accelerator() []string {
	for _, module := range []string{"kvm_intel", "kvm_amd"} {
		if _, err := os.Stat("/sys/module/" + module); err == nil {
			return []string{"-accel", "kvm", "-cpu", "host"}
		}
	}
	// QEMU 7.2 corrupts the flags in CMPXCHG16B.
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max,-cx16"}
}

// MAC returns the address of the machine's interface on the tests' network. It
// follows from the SSH port, which no two machines share.
func (m *Machine) MAC() string { return fmt.Sprintf("52:54:00:c0:%02x:%02x", m.port>>8, m.port&255) }

// NewNetwork names a virtual network for Config.Network: a multicast group on the
// host's loopback with a port that nobody else uses.
func NewNetwork() (string, error) {
	port, err := freePort()
	return fmt.Sprintf("230.0.0.1:%d,localaddr=127.0.0.1", port), err
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// Cut takes the power away: nothing in the machine gets to do anything.
func (m *Machine) Cut() {
	_ = m.command.Process.Kill()
	<-m.exited
	_ = os.RemoveAll(m.dir)
}

// WaitOff waits until the machine has switched itself off.
func (m *Machine) WaitOff(ctx context.Context) error {
	select {
	case <-m.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("machine %s is still on: %w", m.Config.Name, ctx.Err())
	}
}
