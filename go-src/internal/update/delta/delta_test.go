package delta

import (
	"crypto/sha256"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"coreos/internal/boot/verity"
)

// content is a list of blocks, each a letter.
type content string

func (c content) Leaf(block uint64) verity.Hash { return sha256.Sum256([]byte{c[block]}) }

func (c content) source() Source { return Source{c, uint64(len(c))} }

func TestPlan(t *testing.T) {
	tests := []struct {
		name, target, destination, own, other string

		missing []Run
		inPlace uint64
	}{
		{"nothing there", "abc", "", "", "", []Run{{0, 3}}, 0},
		{"the same version", "abc", "", "abc", "", nil, 0},
		{"already written", "abc", "abc", "xyz", "", nil, 3},
		{"half written", "abcd", "abxx", "", "", []Run{{2, 2}}, 2},
		{"moved and new blocks", "aXbcYZ", "", "abc", "", []Run{{1, 1}, {4, 2}}, 0},
		{"from the other slot too", "abcd", "zzzzzz", "a", "dzb", []Run{{2, 1}}, 0},
		{"one block many times", "aaaa", "", "xa", "", nil, 0},
		{"a missing block many times", "aabaa", "", "b", "", []Run{{0, 2}, {3, 2}}, 0},
		{"a shorter version", "ab", "abcdef", "", "", nil, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := New(content(test.target).source(), content(test.destination).source(),
				content(test.own).source(), content(test.other).source())
			if got := slices.Collect(plan.Missing()); !reflect.DeepEqual(got, test.missing) {
				t.Errorf("missing %v, want %v", got, test.missing)
			}
			if got := plan.Count(InPlace); got != test.inPlace {
				t.Errorf("%d in place, want %d", got, test.inPlace)
			}
		})
	}
}

// TestPlanYieldsTarget carries out plans between random contents.
func TestPlanYieldsTarget(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	make := func() content {
		letters := []byte("abcdefghijklmnopqrst")[:1+random.IntN(20)]
		c := ""
		for range random.IntN(40) {
			c += string(letters[random.IntN(len(letters))])
		}
		return content(c)
	}
	for range 2000 {
		target, destination, sources := make(), make(), []content{make(), make()}
		plan := New(target.source(), destination.source(), sources[0].source(), sources[1].source())
		fetched := map[uint64]bool{}
		for run := range plan.Missing() {
			for block := run.Start; block < run.End(); block++ {
				fetched[block] = true
			}
		}
		for block := range uint64(len(target)) {
			var got byte
			switch place := plan.Place(block); place.Source {
			case InPlace:
				got = destination[block]
			case Missing:
				if !fetched[block] {
					t.Fatalf("%q: block %d is missing and in no run", target, block)
				}
				for _, c := range sources {
					if slices.Contains([]byte(c), target[block]) {
						t.Fatalf("%q: block %d is fetched, though %q has it", target, block, c)
					}
				}
				got = target[block]
			default:
				got = sources[place.Source][place.Block]
			}
			if got != target[block] {
				t.Fatalf("%q: block %d becomes %c", target, block, got)
			}
		}
	}
}

func TestMiss(t *testing.T) {
	plan := New(content("abc").source(), content("").source(), content("abc").source())
	plan.Miss(1)
	if got, want := slices.Collect(plan.Missing()), []Run{{1, 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
}

func TestNewMissing(t *testing.T) {
	plan := NewMissing(3)
	plan.Done(1)
	if got, want := slices.Collect(plan.Missing()), []Run{{0, 1}, {2, 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("missing %v, want %v", got, want)
	}
}

// BenchmarkPlan plans an update between versions of 480 MB that have most blocks in common.
func BenchmarkPlan(b *testing.B) {
	const blocks = 120_000
	random := rand.NewChaCha8([32]byte{})
	own, next := make(hashes, blocks), make(hashes, blocks)
	for i := range own {
		_, _ = random.Read(own[i][:])
		next[i] = own[max(0, i-100)]
		if i%10 == 0 {
			_, _ = random.Read(next[i][:])
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		plan := New(Source{next, blocks}, Source{own, blocks}, Source{own, blocks}, Source{own, blocks})
		if plan.Count(Missing) == 0 {
			b.Fatal("nothing is missing")
		}
	}
}

type hashes []verity.Hash

func (h hashes) Leaf(block uint64) verity.Hash { return h[block] }
