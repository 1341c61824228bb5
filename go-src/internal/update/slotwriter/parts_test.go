package slotwriter

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"

	"coreos/internal/boot/verity"
	"coreos/internal/update/release"
)

func TestGroup(t *testing.T) {
	var many []part
	for i := range int64(2*requestParts + 1) {
		many = append(many, part{10 * i, 1})
	}
	large := part{0, spanLimit + 1}
	for name, test := range map[string]struct {
		parts []part
		want  []int // parts of each request
	}{
		"none":      {nil, nil},
		"one":       {[]part{{7, 9}}, []int{1}},
		"a few":     {[]part{{0, 5}, {9, 5}, {20, 5}}, []int{3}},
		"many":      {many, []int{requestParts, requestParts, 1}},
		"too large": {[]part{{0, 1}, large, {2 * spanLimit, 1}}, []int{1, 1, 1}},
		"at limit":  {[]part{{0, spanLimit / 2}, {spanLimit, spanLimit / 2}, {2 * spanLimit, 1}}, []int{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			var all []part
			for _, request := range group(test.parts) {
				got, all = append(got, len(request)), append(all, request...)
			}
			if !reflect.DeepEqual(got, test.want) || !reflect.DeepEqual(all, test.parts) {
				t.Errorf("requests of %v parts, want %v", got, test.want)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	data := []byte("abcdefgh")
	offsets, got := ranges([]part{{10, 2}, {12, 1}, {14, 3}, {20, 2}}, data)
	if want := [][]byte{[]byte("abc"), []byte("def"), []byte("gh")}; !reflect.DeepEqual(got, want) || !reflect.DeepEqual(offsets, []int64{10, 14, 20}) {
		t.Errorf("%q from %v", got, offsets)
	}
}

// countedFiles counts requests, and sends several ranges in one response until it has done
// so a number of times.
type countedFiles struct {
	Files
	single, several atomic.Int64
	limit           int64
}

func (f *countedFiles) ReadRange(ctx context.Context, name string, offset int64, b []byte) error {
	f.single.Add(1)
	return f.Files.ReadRange(ctx, name, offset, b)
}

func (f *countedFiles) ReadRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error {
	if f.several.Add(1) > f.limit {
		return errors.ErrUnsupported
	}
	return f.Files.ReadRanges(ctx, name, offsets, b)
}

// scattered is an update in which one of eight frames changes.
func scattered() scenario {
	data := random(slotBlocks - 8)
	running := newVersion("2.0.0", blocks(sequence(0, 3)), data)
	later := append([]byte(nil), data...)
	for i := 0; i < len(later); i += 32 * verity.BlockSize {
		later[i] ^= 1
	}
	return scenario{running: running, new: newVersion("3.0.0", blocks(sequence(10, 13)), later)}
}

// Scattered blocks are downloaded by a few requests where the server allows it, and by one
// for each where it does not, or not any longer.
func TestRequests(t *testing.T) {
	spans := (slotBlocks - 8 + 31) / 32
	for name, test := range map[string]struct{ limit, single, several int64 }{
		// The others are one for the boot image and one for each index.
		"several ranges": {1000, 3, 2},
		"one range":      {0, 3 + int64(spans), 1},
		"no longer":      {1, 3 + int64(spans), 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := scattered()
			m := s.machine(1)
			j := s.job(m)
			files := &countedFiles{Files: j.Files, limit: test.limit}
			j.Files = files
			if err := j.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if single, several := files.single.Load(), files.several.Load(); single != test.single || several != test.several {
				t.Errorf("%d requests for one range, %d for several; want %d and %d for %d spans of %s", single, several, test.single, test.several, spans, release.PayloadFile(release.Usr))
			}
			m.restart()
			m.wantBoot(t, s.new, s.versions()...)
		})
	}
}
