// Package machine is the running machine as update-engine changes it. The daemon parses what comes
// from the network and has no rights; root's part of it knows the slots, opens the partitions of
// the one that does not run, and has the boot loader choose.
package machine

import (
	"context"
	"encoding/json"
	"os"

	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/host/privsep"
	"coreos/internal/update/slotwriter"
)

// PrivilegedSocket is the socket behind which systemd starts root's part of update-engine.
const PrivilegedSocket privsep.Socket = "/run/coreos/update-engine.sock"

// The actions of root's part. Whoever takes the daemon over can have the slot that does not run
// overwritten and booted. The boot loader starts nothing in it that is not signed, and goes back to
// the running slot, which these actions do not change.
const (
	actionSlots      = "slots"      // reports on both slots
	actionOpen       = "open"       // opens the partitions, those of the other slot for writing
	actionInvalidate = "invalidate" // the other slot cannot be booted
	actionChoose     = "choose"     // the other slot is the next to boot
	actionKeep       = "keep"       // the running slot is the next to boot
	actionLoadNext   = "load-next"  // loads the next slot's kernel for kexec
)

// Slots are the slots of the running machine: booted.Machine.
type Slots interface {
	Slots() ([]slot.Report, error)
	RunningSlot() slot.Name
	OpenPartition(label string, flag int) (*disk.Partition, error)
	Change(func(slot.Store) error) error
	Keep() error
	LoadNext() error
}

// Actions returns what the daemon may have done with the machine that open returns.
func Actions(open func() (Slots, error)) map[string]privsep.Action {
	with := func(f func(Slots) (any, []*os.File, error)) privsep.Action {
		return func(context.Context, json.RawMessage) (any, []*os.File, error) {
			m, err := open()
			if err != nil {
				return nil, nil, err
			}
			return f(m)
		}
	}
	do := func(f func(Slots) error) privsep.Action {
		return with(func(m Slots) (any, []*os.File, error) { return nil, nil, f(m) })
	}
	choice := func(f func(slotwriter.Choice) error) privsep.Action {
		return do(func(m Slots) error {
			return m.Change(func(s slot.Store) error { return f(slotwriter.InStore{Store: s, Slot: m.RunningSlot().Other()}) })
		})
	}
	return map[string]privsep.Action{
		actionSlots: with(func(m Slots) (any, []*os.File, error) {
			reports, err := m.Slots()
			return reports, nil, err
		}),
		actionOpen:       with(openPartitions),
		actionInvalidate: choice(slotwriter.Choice.Invalidate),
		actionChoose:     choice(slotwriter.Choice.Choose),
		actionKeep:       do(Slots.Keep),
		actionLoadNext:   do(Slots.LoadNext),
	}
}

// openPartitions opens the partitions of both slots in the order of partitions. The running slot
// is for reading only.
func openPartitions(m Slots) (any, []*os.File, error) {
	var files []*os.File
	running := m.RunningSlot()
	for _, p := range partitions(running) {
		flag := os.O_RDONLY
		if p.slot != running {
			flag = os.O_RDWR
		}
		partition, err := m.OpenPartition(p.label, flag)
		if err != nil {
			return nil, files, err
		}
		files = append(files, partition.File)
	}
	return running, files, nil
}

type labelled struct {
	slot  slot.Name
	label string
}

// partitions are the partitions of the slots, those of the running one first.
func partitions(running slot.Name) []labelled {
	var all []labelled
	for _, n := range []slot.Name{running, running.Other()} {
		all = append(all, labelled{n, n.BootLabel()}, labelled{n, n.UsrLabel()})
	}
	return all
}
