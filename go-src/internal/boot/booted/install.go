package booted

import (
	"context"
	"errors"
	"io"
	"os"

	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/update/release"
	"coreos/internal/update/slotwriter"
)

// Install writes a release into the slot that does not run and makes it the next.
func (m *Machine) Install(ctx context.Context, manifest *release.Manifest, files slotwriter.Files, report func(slotwriter.Progress)) error {
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
		job := slotwriter.Job{
			Manifest: manifest, Files: files, Slot: m.Running.Other(), To: to, Store: store,
			Own: own, UsrRoot: args.Usr, Report: report,
		}
		return job.Run(ctx)
	})
}

func (m *Machine) openSlot(n slot.Name, flag int) (slotwriter.Pair, error) {
	open := func(label string) (*disk.Partition, error) {
		path, err := m.disk.Path(label)
		if err != nil {
			return nil, err
		}
		return disk.OpenPartition(path, flag)
	}
	boot, err := open(n.BootLabel())
	if err != nil {
		return slotwriter.Pair{}, err
	}
	usr, err := open(n.UsrLabel())
	if err != nil {
		return slotwriter.Pair{}, errors.Join(err, boot.Close())
	}
	return slotwriter.Pair{Boot: boot, Usr: usr}, nil
}

func closeSlot(pair slotwriter.Pair) {
	for _, device := range []slotwriter.Device{pair.Boot, pair.Usr} {
		if closer, ok := device.(io.Closer); ok {
			_ = closer.Close()
		}
	}
}

// Keep makes the running slot the next again.
func (m *Machine) Keep() error {
	return m.Change(func(s slot.Store) error { return slot.SetNext(s, m.Running) })
}
