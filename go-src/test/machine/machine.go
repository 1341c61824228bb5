// Package machine starts real machines for the black-box tests, with their console, SSH
// and a power switch: in QEMU, from a throw-away copy of an image or a saved state, or on
// the host's kernel, as a container of the image's own /usr (see Lab).
package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

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

// Config describes a machine. The zero value of each field is a sensible default.
type Config struct {
	Name string // in log file names
	Disk *Disk  // of a machine in QEMU
	Root *Root  // of a machine on the host's kernel; either this or Disk

	CloudConfig string            // file that the hypervisor hands over
	Ignition    string            // file that the hypervisor hands over, for Ignition
	NameByDHCP  string            // the hostname of its lease; none
	Vendor      string            // who made the machine, as its firmware says: QEMU
	Network     *Network          // shared by the machines of a test; none
	MAC         string            // on that network; one that no other machine has
	Forward     []int             // TCP ports that the host reaches; see Machine.Address
	Metadata    map[string]string // servers of the host by link-local address, such as 169.254.169.254:80

	// Only on the host's kernel.
	Uptime   time.Duration // for how long the machine seems to be on when it starts
	IPv6Only bool          // no IPv4 on the network on which it reaches the host

	// Only in QEMU.
	Firmware Firmware // BIOS
	Bus      Bus      // of Disk: Virtio
	Before   []Drive  // further disks, which the kernel finds before Disk
	After    []Drive  // further disks, which the kernel finds after Disk
	MemoryMB int      // 1024
	// KeepsMemory makes a restart keep the memory. Otherwise a restart is a new QEMU, which
	// is faster.
	KeepsMemory bool
	CPUs        int      // 1: several machines share the host's processors
	Cmdline     string   // added to the kernel command line
	LoadVM      string   // name of the saved state to start from
	Args        []string // more arguments for QEMU
}

// Machine is a running machine.
type Machine struct {
	Console *Console
	Config  Config

	hardware hardware
	mu       sync.Mutex // guards power and cut
	power    power
	cut      bool
	exited   chan struct{}
	key      *Key
	ssh      *ssh.Client // open connection, nil if none

	booting  bool // not up yet, as far as we know
	bootMark int  // position on the console from which on it says that it is
}

// hardware is the kind of a machine: QEMU, or namespaces of the host's kernel.
type hardware interface {
	// powerOn starts the machine, which prints to the console.
	powerOn(console io.Writer) (power, error)
	// address returns the address at which the host reaches a TCP port of the machine.
	address(port int) string
	// mac returns the address of the machine's interface on the network of the tests.
	mac() string
	// plug attaches the machine to that network, or takes it off.
	plug(in bool) error
	// pressButton presses the power button.
	pressButton() error
	// scrap releases what the machine uses on the host. The machine is off.
	scrap()
}

// power is the time from when a machine is switched on until it is off.
type power interface {
	// cut ends it at once.
	cut()
	// wait returns when the machine is off, and tells whether it wants to restart.
	wait() (restart bool)
}

// Start switches a machine on. Its console log goes to dir.
func Start(dir string, key *Key, config Config) (*Machine, error) {
	console, err := newConsole(filepath.Join(dir, config.Name+".console"))
	if err != nil {
		return nil, err
	}
	m := &Machine{Console: console, Config: config, exited: make(chan struct{}), booting: config.LoadVM == "", key: key}
	if config.Root != nil {
		m.hardware, err = newNative(&m.Config, key)
	} else {
		m.hardware, err = newQEMU(&m.Config, key)
	}
	if err != nil {
		return nil, err
	}
	if err := m.powerOn(); err != nil {
		m.hardware.scrap()
		return nil, err
	}
	go m.keepOn()
	return m, nil
}

// powerOn switches the machine on, unless its power is cut.
func (m *Machine) powerOn() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut {
		return errors.New("its power is cut")
	}
	on, err := m.hardware.powerOn(m.Console)
	if err == nil { // else the old power stays, for Cut
		m.power = on
	}
	return err
}

// keepOn switches the machine on anew whenever it restarts.
func (m *Machine) keepOn() {
	defer close(m.exited)
	defer m.Console.end()
	defer m.hardware.scrap()
	for m.power.wait() {
		if err := m.powerOn(); err != nil {
			_, _ = fmt.Fprintf(m.Console, "the machine does not restart: %v\n", err)
			return
		}
	}
}

// MAC returns the address of the machine's interface on the tests' network.
func (m *Machine) MAC() string {
	if m.Config.MAC != "" {
		return m.Config.MAC
	}
	return m.hardware.mac()
}

// Address returns the address at which the host reaches a forwarded port.
func (m *Machine) Address(port int) string { return m.hardware.address(port) }

// Unplug disconnects the machine from the tests' network. The machine notices only that
// nobody answers. Plug connects it again.
func (m *Machine) Unplug() error { return m.plug(false) }

// Plug undoes Unplug.
func (m *Machine) Plug() error { return m.plug(true) }

func (m *Machine) plug(in bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hardware.plug(in)
}

// PowerButton presses the power button, which asks the system to switch itself off.
func (m *Machine) PowerButton() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hardware.pressButton()
}

// Cut cuts the power: no program in the machine can do anything more.
func (m *Machine) Cut() {
	m.mu.Lock()
	m.cut = true
	m.power.cut()
	m.mu.Unlock()
	<-m.exited
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
