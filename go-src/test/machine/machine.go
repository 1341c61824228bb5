// Package machine starts real machines in QEMU for the black-box tests: from a
// throw-away copy of an image or from a saved state, with their console, SSH, a
// monitor, and a power switch.
package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

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

// The UEFI firmware of Debian's package ovmf, and the variables of a new machine.
const (
	ovmf     = "/usr/share/OVMF/OVMF_CODE.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS.fd"
)

// Config describes a machine. The zero value of each field is a sensible default.
type Config struct {
	Name     string   // in log file names
	Disk     *Disk    // required
	Firmware Firmware // BIOS
	Bus      Bus      // Virtio
	MemoryMB int      // 1024
	// KeepsMemory has a restart leave the memory as it was, which a new QEMU, the faster
	// way to restart, otherwise does not.
	KeepsMemory bool
	CPUs        int      // 1: several machines share the host's processors
	Cmdline     string   // added to the kernel command line
	LoadVM      string   // name of the saved state to start from
	Network     string   // from NewNetwork, shared by the machines of a test; none
	MAC         string   // on that network; one that no other machine has
	Forward     []int    // TCP ports that the host reaches; see Machine.Address
	Args        []string // more arguments for QEMU
}

// Machine is a running machine.
type Machine struct {
	Console *Console
	Config  Config

	dir     string
	mu      sync.Mutex // guards command and cut
	command *exec.Cmd
	cut     bool
	exited  chan struct{}
	port    int
	forward map[int]int // ports of the host
	key     *Key
	ssh     *ssh.Client // open connection, nil if none
	monitor string
	stdin   *os.File // for QEMU: what is typed at the console
	typing  *os.File // its other end

	booting  bool // not up yet, as far as we know
	bootMark int  // position on the console from which on it says that it is
}

// Start switches a machine on. Its console log goes to dir.
func Start(dir string, key *Key, config Config) (*Machine, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	forward, err := freePorts(config.Forward)
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
		exited: make(chan struct{}), booting: config.LoadVM == "", port: port, forward: forward, key: key, monitor: filepath.Join(socketDir, "qmp"),
	}
	if m.stdin, m.typing, err = os.Pipe(); err != nil {
		return nil, err
	}
	if config.Firmware == UEFI {
		fresh, err := os.ReadFile(ovmfVars)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(m.variables(), fresh, 0o600); err != nil {
			return nil, err
		}
	}
	events, err := m.powerOn()
	if err != nil {
		return nil, err
	}
	go m.keepOn(events)
	return m, nil
}

// variables is where the firmware keeps them, for as long as the machine is on.
func (m *Machine) variables() string { return filepath.Join(m.dir, "variables") }

// powerOn starts QEMU, unless the power is cut, and returns where it reports events.
func (m *Machine) powerOn() (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut {
		return nil, errors.New("its power is cut")
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	command := exec.Command("qemu-system-x86_64", m.args()...)
	command.Stdin = m.stdin
	command.Stdout = m.Console
	command.Stderr = m.Console
	command.ExtraFiles = []*os.File{theirs} // eventsFD
	err = command.Start()
	_ = theirs.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start QEMU: %w", err), ours.Close())
	}
	m.command = command
	return ours, nil
}

// keepOn starts QEMU anew whenever the machine restarts. Within one QEMU a restart
// takes half a minute longer under emulation: the kernel is unpacked over the last
// one, and each write to a page of code costs what was translated from it.
func (m *Machine) keepOn(events net.Conn) {
	defer close(m.exited)
	defer m.Console.end()
	defer m.stdin.Close()
	defer m.typing.Close()
	for m.endedByReset(events) {
		m.Config.LoadVM = ""
		var err error
		if events, err = m.powerOn(); err != nil {
			_, _ = fmt.Fprintf(m.Console, "the machine does not restart: %v\n", err)
			return
		}
	}
}

// Type types at the console.
func (m *Machine) Type(text string) error {
	if _, err := m.typing.WriteString(text); err != nil {
		return fmt.Errorf("type at the console: %w", err)
	}
	return nil
}

// endedByReset waits until QEMU has ended and reports whether a reset was the reason.
func (m *Machine) endedByReset(events net.Conn) bool {
	reset := sawReset(events)
	_ = events.Close()
	_ = m.command.Wait()
	return reset
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
	board := "q35"
	if c.KeepsMemory {
		board += ",memory-backend=memory"
	}
	args := []string{
		"-name", c.Name, "-machine", board, "-nodefaults", "-m", strconv.Itoa(memory), "-smp", strconv.Itoa(cpus),
		"-display", "none", "-serial", "stdio", "-qmp", "unix:" + m.monitor + ",server=on,wait=off",
		"-no-reboot", "-chardev", fmt.Sprintf("socket,id=events,fd=%d", eventsFD), "-mon", "chardev=events,mode=control",
		"-device", "virtio-rng-pci",
		"-nic", m.userNIC(),
		"-smbios", "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=" + m.key.authorizedBase64(),
	}
	if c.KeepsMemory {
		args = append(args, "-object", fmt.Sprintf("memory-backend-file,id=memory,size=%dM,share=on,mem-path=%s", memory, filepath.Join(m.dir, "memory")))
	}
	if c.Cmdline != "" { // the last string is the one that GRUB looks at
		args = append(args, "-smbios", "type=11,value=coreos.cmdline="+c.Cmdline)
	}
	args = append(args, accelerator()...)
	args = append(args, c.Disk.args(c.Bus)...)
	if c.Firmware == UEFI {
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+ovmf, "-drive", "if=pflash,format=raw,file="+m.variables())
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
func (m *Machine) MAC() string {
	if m.Config.MAC != "" {
		return m.Config.MAC
	}
	return fmt.Sprintf("52:54:00:c0:%02x:%02x", m.port>>8, m.port&255)
}

// NewNetwork names a virtual network for Config.Network: a multicast group on the
// host's loopback with a port that nobody else uses.
func NewNetwork() (string, error) {
	port, err := freePort()
	return fmt.Sprintf("230.0.0.1:%d,localaddr=127.0.0.1", port), err
}

// userNIC is the interface to the host, who reaches the machine's SSH and what is
// forwarded.
func (m *Machine) userNIC() string {
	nic := fmt.Sprintf("user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:%d-:22", m.port)
	for guest, host := range m.forward {
		nic += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", host, guest)
	}
	return nic
}

// Address is where the host reaches a forwarded port.
func (m *Machine) Address(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", m.forward[port])
}

func freePorts(guest []int) (map[int]int, error) {
	ports := map[int]int{}
	for _, port := range guest {
		var err error
		if ports[port], err = freePort(); err != nil {
			return nil, err
		}
	}
	return ports, nil
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
	m.mu.Lock()
	m.cut = true
	_ = m.command.Process.Kill()
	m.mu.Unlock()
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
