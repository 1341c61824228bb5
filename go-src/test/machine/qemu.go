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
)

// The UEFI firmware of Debian's package ovmf, and the variables of a new machine.
const (
	ovmf     = "/usr/share/OVMF/OVMF_CODE.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS.fd"
)

// networkID is the name of the interface on the tests' network for QEMU's monitor.
const networkID = "shared"

// qemu is the hardware that QEMU emulates.
type qemu struct {
	config  *Config
	key     *Key
	dir     string // for its sockets
	port    int    // of the host, for SSH
	forward map[int]int
	stdin   *os.File // for QEMU: input of the console
	typing  *os.File // its other end
}

func newQEMU(config *Config, key *Key) (*qemu, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	forward, err := freePorts(config.Forward)
	if err != nil {
		return nil, err
	}
	// The monitor's path has to be short: a socket's address holds 107 bytes.
	dir, err := os.MkdirTemp(socketDir(), "vm")
	if err != nil {
		return nil, err
	}
	q := &qemu{config: config, key: key, dir: dir, port: port, forward: forward}
	if q.stdin, q.typing, err = os.Pipe(); err != nil {
		return nil, err
	}
	if config.Firmware != UEFI {
		return q, nil
	}
	fresh, err := os.ReadFile(ovmfVars)
	if err != nil {
		return nil, err
	}
	return q, os.WriteFile(q.variables(), fresh, 0o600)
}

// variables is the file in which the firmware keeps its variables while the machine is on.
func (q *qemu) variables() string { return filepath.Join(q.dir, "variables") }

// memory is where a machine that keeps its memory has it: beside its disk, where the next run
// of the tests removes what a killed one has left.
func (q *qemu) memory() string { return q.config.Disk.Path + ".memory" }

func (q *qemu) monitor() string { return filepath.Join(q.dir, "qmp") }

// emulation is a running QEMU.
type emulation struct {
	config  *Config
	command *exec.Cmd
	events  net.Conn // where QEMU reports events
}

func (q *qemu) powerOn(console io.Writer) (power, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	command := exec.Command("qemu-system-x86_64", q.args()...)
	command.Stdin = q.stdin
	command.Stdout = console
	command.Stderr = console
	command.ExtraFiles = []*os.File{theirs} // eventsFD
	err = command.Start()
	_ = theirs.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start QEMU: %w", err), ours.Close())
	}
	return &emulation{q.config, command, ours}, nil
}

func (e *emulation) cut() { _ = e.command.Process.Kill() }

// wait waits until QEMU has ended. A machine that restarts gets a new QEMU: under emulation
// a restart in the same QEMU takes half a minute longer, since the kernel is unpacked over
// the old one, and QEMU drops its translation of a page of code at each write to the page.
func (e *emulation) wait() (restart bool) {
	restart = sawReset(e.events)
	_ = e.events.Close()
	_ = e.command.Wait()
	e.config.LoadVM = ""
	return restart
}

func (q *qemu) scrap() {
	_ = q.stdin.Close()
	_ = q.typing.Close()
	_ = os.RemoveAll(q.dir)
	_ = os.Remove(q.memory())
}

func (q *qemu) address(port int) string {
	if port == sshPort {
		return fmt.Sprintf("127.0.0.1:%d", q.port)
	}
	return fmt.Sprintf("127.0.0.1:%d", q.forward[port])
}

// mac returns an address that follows from the SSH port, which no two machines share.
func (q *qemu) mac() string { return fmt.Sprintf("52:54:00:c0:%02x:%02x", q.port>>8, q.port&255) }

// Type types at the console of a machine in QEMU.
func (m *Machine) Type(text string) error {
	q, err := m.qemu()
	if err != nil {
		return err
	}
	if _, err := q.typing.WriteString(text); err != nil {
		return fmt.Errorf("type at the console: %w", err)
	}
	return nil
}

// qemu returns the hardware of a machine that must be in QEMU.
func (m *Machine) qemu() (*qemu, error) {
	q, ok := m.hardware.(*qemu)
	if !ok {
		return nil, fmt.Errorf("machine %s: %w outside of QEMU", m.Config.Name, errors.ErrUnsupported)
	}
	return q, nil
}

func (q *qemu) args() []string {
	c := q.config
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
		"-display", "none", "-serial", "stdio", "-qmp", "unix:" + q.monitor() + ",server=on,wait=off",
		"-no-reboot", "-chardev", fmt.Sprintf("socket,id=events,fd=%d", eventsFD), "-mon", "chardev=events,mode=control",
		"-device", "virtio-rng-pci",
		"-nic", q.userNIC(),
		"-smbios", "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=" + q.key.authorizedBase64(),
	}
	if c.KeepsMemory {
		args = append(args, "-object", fmt.Sprintf("memory-backend-file,id=memory,size=%dM,share=on,mem-path=%s", memory, q.memory()))
	}
	if c.Cmdline != "" { // GRUB reads the last string
		args = append(args, "-smbios", "type=11,value=coreos.cmdline="+c.Cmdline)
	}
	args = append(args, accelerator()...)
	args = append(args, c.drives()...)
	if c.Firmware == UEFI {
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+ovmf, "-drive", "if=pflash,format=raw,file="+q.variables())
	}
	args = append(args, q.handedOver()...)
	if c.LoadVM != "" {
		args = append(args, "-loadvm", c.LoadVM)
	}
	return append(args, c.Args...)
}

// handedOver are the arguments for configs and networks of the test.
func (q *qemu) handedOver() (args []string) {
	c := q.config
	if c.CloudConfig != "" {
		args = append(args, "-fw_cfg", "name=opt/com.coreos/cloud-config,file="+c.CloudConfig)
	}
	if c.Ignition != "" {
		args = append(args, "-fw_cfg", "name=opt/com.coreos/config,file="+c.Ignition)
	}
	if c.Vendor != "" {
		args = append(args, "-smbios", "type=1,manufacturer="+c.Vendor)
	}
	if c.Network != nil {
		mac := c.MAC
		if mac == "" {
			mac = q.mac()
		}
		args = append(args, "-netdev", "socket,id="+networkID+",mcast="+c.Network.group, "-device", "virtio-net-pci,netdev="+networkID+",mac="+mac)
	}
	return append(args, q.metadata()...)
}

// metadata is an interface on which the machine finds servers of the host at link-local
// addresses.
func (q *qemu) metadata() []string {
	if len(q.config.Metadata) == 0 {
		return nil
	}
	nic := "user,model=virtio-net-pci,net=169.254.169.0/24"
	for at, server := range q.config.Metadata {
		relay := fmt.Sprintf("bash -c 'exec 3<>/dev/tcp/%s; cat <&3 & cat >&3'", slashed(server))
		nic += ",guestfwd=tcp:" + at + "-cmd:" + relay
	}
	return []string{"-nic", nic}
}

// slashed returns an address with its port as bash writes it.
func slashed(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return host + "/" + port
}

// accelerator returns KVM if it works. It is not enough that /dev/kvm exists: without the
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

// userNIC is the interface to the host, by which the host reaches the machine's SSH and its
// forwarded ports.
func (q *qemu) userNIC() string {
	nic := fmt.Sprintf("user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:%d-:%d", q.port, sshPort)
	if q.config.NameByDHCP != "" {
		nic += ",hostname=" + q.config.NameByDHCP
	}
	for guest, host := range q.forward {
		nic += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", host, guest)
	}
	return nic
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
