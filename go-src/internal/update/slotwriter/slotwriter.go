// Package slotwriter writes a release to the slot that does not run, so that the machine
// has a complete system at every moment: the new slot is not chosen before every block of
// it was read back from the disk and verified.
//
// There is no journal. An installation that was interrupted starts again, finds by hashing
// which blocks on the disk are right, and continues with the others.
package slotwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/slot"
	"coreos/internal/boot/verity"
	"coreos/internal/update/release"
)

// Device is a partition.
type Device interface {
	io.ReaderAt
	io.WriterAt
	// Sync flushes all writes to the medium. Later reads come from the medium.
	Sync() error
	// Size returns the size in bytes.
	Size() int64
}

// Files gives the files of a release.
type Files interface {
	// Open opens a whole file.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// ReadRange fills b with the bytes of a file from offset on. It returns
	// errors.ErrUnsupported if only whole files are available.
	ReadRange(ctx context.Context, name string, offset int64, b []byte) error
	// ReadRanges fills each b[i] with the bytes of a file from offsets[i] on, which are in
	// ascending order. It returns errors.ErrUnsupported if ranges are only available one by
	// one.
	ReadRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error
}

// Pair is the two partitions of a slot.
type Pair struct {
	Boot, Usr Device
}

// Choice is what the boot loader knows about the slot that is written.
type Choice interface {
	// Invalidate keeps the slot from being booted, since it is being written.
	Invalidate() error
	// Choose makes the slot the next to boot.
	Choose() error
}

// InStore is the Choice about a slot in a store of the boot state.
type InStore struct {
	slot.Store
	Slot slot.Name
}

// Invalidate implements Choice.
func (s InStore) Invalidate() error { return slot.MarkBad(s.Store, s.Slot, Updating) }

// Choose implements Choice.
func (s InStore) Choose() error { return slot.SetNext(s.Store, s.Slot) }

// Updating is the reason of a slot that is being written and cannot be booted.
const Updating = "updating"

// Errors that say why a release was not installed.
var (
	// ErrTooLarge: the slot is too small.
	ErrTooLarge = errors.New("the release does not fit into the slot")
	// ErrWrongBytes: a file does not match the signed manifest.
	ErrWrongBytes = errors.New("not the bytes of the release")
	// ErrDisk: the data that were written cannot be read back.
	ErrDisk = errors.New("the disk does not keep what is written")
)

// State is the state of an installation.
type State int

// The states, in their order.
const (
	Downloading State = iota
	Verifying
	Finalizing
)

// Progress is the progress of an installation.
type Progress struct {
	State State
	// Fetched and Total are bytes from the server. Total is known once the slots have been
	// compared.
	Fetched, Total int64
}

// Job is an installation.
type Job struct {
	Manifest *release.Manifest
	Files    Files
	// Slot is the slot to write, To its partitions.
	Slot   slot.Name
	To     Pair
	Choice Choice
	// Own is the running slot, and UsrRoot the root of its /usr.
	Own     Pair
	UsrRoot verity.Root
	// Report is called often with the progress.
	Report func(Progress)

	progress Progress
	// singly says that the server does not send several ranges in one response.
	singly atomic.Bool
}

// Run installs the release and makes the slot the next to boot. After an error it can be
// run again. Until it succeeds, the slot cannot be booted.
func (j *Job) Run(ctx context.Context) error {
	usr := &content{job: j, name: release.Usr, want: j.Manifest.Usr, to: j.To.Usr}
	boot := &content{job: j, name: release.Boot, want: j.Manifest.Boot, to: j.To.Boot, sealed: true}
	for _, c := range []*content{usr, boot} {
		if err := c.prepare(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	before := j.replaced()
	if err := j.invalidate(); err != nil {
		return fmt.Errorf("slot %s: %w", j.Slot, err)
	}
	if err := j.compare(ctx, usr, boot, before); err != nil {
		return err
	}
	for _, c := range []*content{usr, boot} {
		if err := c.fill(ctx); err != nil {
			return fmt.Errorf("%s of slot %s: %w", c.name, j.Slot, err)
		}
	}
	j.report(Finalizing)
	if err := boot.seal(ctx); err != nil {
		return fmt.Errorf("%s of slot %s: %w", boot.name, j.Slot, err)
	}
	if err := j.Choice.Choose(); err != nil {
		return fmt.Errorf("choose slot %s: %w", j.Slot, err)
	}
	return nil
}

// replaced returns the hash tree of the version in the slot, nil if there is no complete
// one. It need not be right: all blocks are read back later.
func (j *Job) replaced() *verity.Tree {
	info, err := bootimage.ReadInfo(io.NewSectionReader(j.To.Boot, 0, j.To.Boot.Size()))
	if err != nil {
		return nil
	}
	root, err := cmdline.Usr(info.Cmdline)
	if err != nil || root.TreeOffset()+root.TreeSize() > j.To.Usr.Size() {
		return nil
	}
	tree, err := root.ReadTreeBehind(j.To.Usr)
	if err != nil {
		return nil
	}
	return tree
}

// invalidate makes sure that the slot does not boot while it is incomplete, not even as the
// last resort of GRUB: its boot partition has no archive any more.
func (j *Job) invalidate() error {
	if err := j.Choice.Invalidate(); err != nil {
		return err
	}
	if _, err := j.To.Boot.WriteAt(make([]byte, verity.BlockSize), 0); err != nil {
		return err
	}
	return j.To.Boot.Sync()
}

// compare plans both contents. before is the hash tree of the /usr that is replaced, if it
// is known.
func (j *Job) compare(ctx context.Context, usr, boot *content, before *verity.Tree) error {
	tree, err := j.UsrRoot.ReadTreeBehind(j.Own.Usr)
	if err != nil {
		// The machine runs from it, so the disk is probably failing, which makes the update
		// more urgent.
		slog.Warn("the hash tree of the running slot cannot be used: everything is downloaded", "error", err)
		tree = nil
	}
	if err := usr.plan(ctx, j.Own.Usr, tree, before); err != nil {
		return err
	}
	if err := boot.plan(ctx, j.Own.Boot, nil, nil); err != nil {
		return err
	}
	if err := j.probe(ctx); err != nil {
		return err
	}
	for _, c := range []*content{usr, boot} {
		size, err := c.missingSize(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		j.progress.Total += size
	}
	j.report(Downloading)
	return nil
}

func (j *Job) report(state State) {
	j.progress.State = state
	if j.Report != nil {
		j.Report(j.progress)
	}
}

func (j *Job) fetched(n int) {
	j.progress.Fetched += int64(n)
	j.report(j.progress.State)
}

// writeTail writes the superblock and the tree after the data of /usr.
func (c *content) writeTail() error {
	tail := append(c.tree.Superblock(), c.tree.Bytes()...)
	if _, err := c.to.WriteAt(tail, c.want.Size()); err != nil {
		return err
	}
	if err := c.to.Sync(); err != nil {
		return err
	}
	got := make([]byte, len(tail))
	if _, err := c.to.ReadAt(got, c.want.Size()); err != nil {
		return fmt.Errorf("%w: hash tree: %w", ErrDisk, err)
	}
	if !bytes.Equal(got, tail) {
		return fmt.Errorf("%w: hash tree", ErrDisk)
	}
	return nil
}
