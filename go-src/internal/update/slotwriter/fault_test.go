package slotwriter

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"coreos/internal/boot/verity"
)

func TestRunRefuses(t *testing.T) {
	s := scenarios()[1]
	lost := errors.New("connection lost")
	spoil := func(suffix string, at int64) func(string, int64, []byte) error {
		return func(name string, offset int64, b []byte) error {
			if strings.HasSuffix(name, suffix) && at >= offset && at < offset+int64(len(b)) {
				b[at-offset] ^= 1
			}
			return nil
		}
	}
	payloadSize := s.new.manifest.Usr.Payload.Size
	tests := map[string]struct {
		change  func(*Job)
		want    error
		touched bool
	}{
		"other tree":     {func(j *Job) { j.Files = badFiles{j.Files, spoil("usr.verity", 40)} }, ErrWrongBytes, false},
		"other index":    {func(j *Job) { j.Files = badFiles{j.Files, spoil("usr.zst", payloadSize-20)} }, ErrWrongBytes, true},
		"other payload":  {func(j *Job) { j.Files = badFiles{j.Files, spoil("boot.zst", 40)} }, ErrWrongBytes, true},
		"whole, other":   {func(j *Job) { j.Files = wholeFiles{badFiles{j.Files, spoil("boot.zst", 40)}} }, ErrWrongBytes, true},
		"lost":           {func(j *Job) { j.Files = badFiles{j.Files, func(string, int64, []byte) error { return lost }} }, lost, false},
		"usr too large":  {func(j *Job) { j.To.Usr = &simPartition{disk: &simDisk{}, cache: make([]byte, 60*4096)} }, ErrTooLarge, false},
		"boot too large": {func(j *Job) { j.To.Boot = &simPartition{disk: &simDisk{}, cache: make([]byte, 4096)} }, ErrTooLarge, false},
		"lost later": {func(j *Job) {
			j.Files = badFiles{j.Files, func(name string, offset int64, _ []byte) error {
				if name == "usr.zst" && offset < payloadSize*2/3 {
					return lost
				}
				return nil
			}}
		}, lost, true},
		"a disk that forgets": {func(j *Job) { j.To.Usr = forgetful{j.To.Usr.(*simPartition)} }, ErrDisk, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := s.machine(1)
			j := s.job(m)
			test.change(j)
			if err := j.Run(context.Background()); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if touched := m.operations > 0; touched != test.touched {
				t.Errorf("the disk was touched: %v", touched)
			}
			m.restart()
			m.wantBoot(t, s.running, s.versions()...)
		})
	}
}

// forgetful loses one of the written blocks on the way from the cache to the medium.
type forgetful struct{ *simPartition }

func (f forgetful) Sync() error {
	err := f.simPartition.Sync()
	clear(f.cache[50*verity.BlockSize:][:verity.BlockSize])
	clear(f.medium[50*verity.BlockSize:][:verity.BlockSize])
	return err
}

// forgetOnce loses a block the first time.
type forgetOnce struct {
	*simPartition
	done bool
}

func (f *forgetOnce) Sync() error {
	if f.done {
		return f.simPartition.Sync()
	}
	f.done = true
	return forgetful{f.simPartition}.Sync()
}

// A block that is not read back correctly is written again.
func TestRepair(t *testing.T) {
	updated := scenarios()[1]
	bundle := updated
	bundle.new = updated.new.withWhole().inBundle()
	for name, s := range map[string]scenario{"repository": updated, "bundle": bundle} {
		t.Run(name, func(t *testing.T) {
			m := s.machine(1)
			j := s.job(m)
			j.To.Usr = &forgetOnce{simPartition: j.To.Usr.(*simPartition)}
			if err := j.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			m.restart()
			m.wantBoot(t, s.new, s.versions()...)
		})
	}
}

// A bad sector in the running slot costs a fetched block, not the update.
func TestUnreadableSource(t *testing.T) {
	s := scenarios()[0]
	m := s.machine(1)
	j := s.job(m)
	j.Own.Usr = unreadable{j.Own.Usr}
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
}

// unreadable has bad sectors in its first blocks.
type unreadable struct{ Device }

func (u unreadable) ReadAt(b []byte, offset int64) (int, error) {
	if offset < 30*verity.BlockSize {
		return 0, &os.PathError{Op: "read", Path: "disk", Err: errors.New("input/output error")}
	}
	return u.Device.ReadAt(b, offset)
}

func TestCanceled(t *testing.T) {
	s := scenarios()[1]
	m := s.machine(1)
	ctx, cancel := context.WithCancel(context.Background())
	j := s.job(m)
	j.Report = func(p Progress) {
		if p.Fetched > s.new.manifest.Usr.Payload.Size/3 {
			cancel()
		}
	}
	if err := j.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	m.wantBoot(t, s.running, s.versions()...)
}
