package slotwriter

import (
	"context"
	"errors"
	"io"
	"os"

	"coreos/internal/boot/booted"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/slot"
	"coreos/internal/update/release"
)

// Machine is the running machine, to whose other slot releases are written.
type Machine struct{ *booted.Machine }

// Install writes a release to the slot that does not run, and makes that slot the next to
// boot.
func (m Machine) Install(ctx context.Context, manifest *release.Manifest, files Files, report func(Progress)) error {
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
		job := Job{
			Manifest: manifest, Files: files, Slot: m.Running.Other(), To: to, Store: store,
			Own: own, UsrRoot: args.Usr, Report: report,
		}
		return job.Run(ctx)
	})
}

func (m Machine) openSlot(n slot.Name, flag int) (Pair, error) {
	boot, err := m.OpenPartition(n.BootLabel(), flag)
	if err != nil {
		return Pair{}, err
	}
	usr, err := m.OpenPartition(n.UsrLabel(), flag)
	if err != nil {
		return Pair{}, errors.Join(err, boot.Close())
	}
	return Pair{Boot: boot, Usr: usr}, nil
}

func closeSlot(pair Pair) {
	for _, device := range []Device{pair.Boot, pair.Usr} {
		if closer, ok := device.(io.Closer); ok {
			_ = closer.Close()
		}
	}
}
