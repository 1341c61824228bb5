package machine

import (
	"context"
	"errors"
	"io"
	"os"

	"coreos/internal/cmdline"
	"coreos/internal/disk"
	"coreos/internal/install"
	"coreos/internal/release"
	"coreos/internal/slot"
)

// Install writes a release into the slot that does not run and makes it the next.
func (m *Machine) Install(ctx context.Context, manifest *release.Manifest, files install.Files, report func(install.Progress)) error {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	args, err := cmdline.Parse(string(text))
	if err != nil {
		return err
	}
	own, err := m.openSlot(m.Running, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer closeSlot(own)
	to, err := m.openSlot(m.Running.Other(), os.O_RDWR)
	if err != nil {
		return err
	}
	defer closeSlot(to)
	return m.Change(func(store slot.Store) error {
		job := install.Job{
			Manifest: manifest, Files: files, Slot: m.Running.Other(), To: to, Store: store,
			Own: own, UsrRoot: args.Usr, Report: report,
		}
		return job.Run(ctx)
	})
}

func (m *Machine) openSlot(n slot.Name, flag int) (install.Pair, error) {
	open := func(label string) (*disk.Partition, error) {
		path, err := m.disk.Path(label)
		if err != nil {
			return nil, err
		}
		return disk.OpenPartition(path, flag)
	}
	boot, err := open(n.BootLabel())
	if err != nil {
		return install.Pair{}, err
	}
	usr, err := open(n.UsrLabel())
	if err != nil {
		return install.Pair{}, errors.Join(err, boot.Close())
	}
	return install.Pair{Boot: boot, Usr: usr}, nil
}

func closeSlot(pair install.Pair) {
	for _, device := range []install.Device{pair.Boot, pair.Usr} {
		if closer, ok := device.(io.Closer); ok {
			_ = closer.Close()
		}
	}
}

// Keep makes the running slot the next again.
func (m *Machine) Keep() error {
	return m.Change(func(s slot.Store) error { return slot.SetNext(s, m.Running) })
}
