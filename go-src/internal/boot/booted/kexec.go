package booted

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"coreos/internal/boot/bootkey"
	"coreos/internal/boot/kexec"
	"coreos/internal/boot/slot"
)

// bootKey is the public key with which GRUB and LoadNext verify boot images.
const bootKey = "/usr/share/coreos/boot.pub"

// LoadNext loads the kernel of the next slot, so that the machine can restart without its
// firmware and boot loader. As with a boot by GRUB, that takes one of the tries of the
// slot. If the kernel does not start, the machine restarts by GRUB.
func (m *Machine) LoadNext() error {
	states, err := m.States()
	if err != nil {
		return err
	}
	next := states.Next()
	if err := m.loadKernel(next); err != nil {
		return fmt.Errorf("slot %s: %w", next, err)
	}
	return m.Change(func(s slot.Store) error { return slot.Take(s, next) })
}

func (m *Machine) loadKernel(n slot.Name) (err error) {
	running, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	path, err := m.disk.Path(n.BootLabel())
	if err != nil {
		return err
	}
	partition, err := slot.OpenDevice(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, partition.Close()) }()
	image, err := kexec.Read(bufio.NewReaderSize(partition, 1<<20), func(file, signature io.Reader) error {
		return bootkey.VerifyReader(bootKey, file, signature)
	})
	if err != nil {
		return err
	}
	defer image.Close()
	return image.Load(kexec.Cmdline(image.Info, n, string(running)))
}
