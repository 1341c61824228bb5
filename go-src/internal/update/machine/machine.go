package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/host/privsep"
	"coreos/internal/update/release"
	"coreos/internal/update/slotwriter"
)

// Machine is the running machine, to whose other slot releases are written. It implements
// engine.Machine for a process without rights.
type Machine struct {
	Root privsep.Socket // has Actions behind it
}

// Times of the calls.
const (
	callTime = time.Minute
	loadTime = 5 * time.Minute // a kernel is read, verified and loaded
)

func (m Machine) call(limit time.Duration, action string, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return m.Root.Call(ctx, action, nil, result)
}

// Slots describes both slots.
func (m Machine) Slots() ([]slot.Report, error) {
	var reports []slot.Report
	err := m.call(callTime, actionSlots, &reports)
	return reports, err
}

// Keep makes the running slot the next to boot.
func (m Machine) Keep() error { return m.call(callTime, actionKeep, nil) }

// LoadNext loads the next slot's kernel for a restart by kexec.
func (m Machine) LoadNext() error { return m.call(loadTime, actionLoadNext, nil) }

// Invalidate implements slotwriter.Choice.
func (m Machine) Invalidate() error { return m.call(callTime, actionInvalidate, nil) }

// Choose implements slotwriter.Choice.
func (m Machine) Choose() error { return m.call(callTime, actionChoose, nil) }

// Install writes a release to the slot that does not run, and makes that slot the next to
// boot.
func (m Machine) Install(ctx context.Context, manifest *release.Manifest, files slotwriter.Files, report func(slotwriter.Progress)) error {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	args, err := cmdline.Parse(string(text))
	if err != nil {
		return err
	}
	running, own, to, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer closePairs(own, to)
	job := slotwriter.Job{
		Manifest: manifest, Files: files, Slot: running.Other(), To: to.pair(), Choice: m,
		Own: own.pair(), UsrRoot: args.Usr, Report: report,
	}
	return job.Run(ctx)
}

// partitionPair is slotwriter.Pair with partitions that can be closed.
type partitionPair struct{ boot, usr *disk.Partition }

func (p partitionPair) pair() slotwriter.Pair { return slotwriter.Pair{Boot: p.boot, Usr: p.usr} }

func closePairs(pairs ...partitionPair) {
	for _, p := range pairs {
		_, _ = p.boot.Close(), p.usr.Close()
	}
}

// open opens the partitions of both slots, as openPartitions sends them.
func (m Machine) open(ctx context.Context) (running slot.Name, own, to partitionPair, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	files, err := m.Root.Files(ctx, actionOpen, nil, &running)
	if err != nil {
		return running, own, to, err
	}
	var all []*disk.Partition
	for _, file := range files {
		p, problem := disk.NewPartition(file)
		all, err = append(all, p), errors.Join(err, problem)
	}
	if err == nil && len(all) != len(partitions(running)) {
		err = fmt.Errorf("root's part of this daemon has sent %d partitions", len(all))
	}
	if err != nil {
		for _, file := range files {
			_ = file.Close()
		}
		return running, own, to, err
	}
	return running, partitionPair{all[0], all[1]}, partitionPair{all[2], all[3]}, nil
}
