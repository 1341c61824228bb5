package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mustTable returns the partitions that the kernel sees.
func mustTable(t testing.TB, m *memory) []entry {
	t.Helper()
	entries, err := kernelTable(m)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// checkGrown checks that the disk has two valid tables, which have the partitions
// of before, ROOT up to the end of the disk, and that the kernel knows.
func checkGrown(t testing.TB, m *memory, before []entry) {
	t.Helper()
	want := slices.Clone(before)
	lastLBA := uint64(m.size/512 - 1)
	want[rootIndex].last = (lastLBA-33)/2048*2048 - 1
	primary, alternate, err := tableAt(m, 1, lastLBA)
	if err != nil || !slices.Equal(primary, want) || alternate != lastLBA {
		t.Fatalf("primary table: %v, backup at %d, error %v, want %v", primary, alternate, err, want)
	}
	backup, alternate, err := tableAt(m, lastLBA, lastLBA)
	if err != nil || !slices.Equal(backup, want) || alternate != 1 {
		t.Fatalf("backup table: %v, primary at %d, error %v, want %v", backup, alternate, err, want)
	}
	for i, e := range want {
		length := fmt.Sprint(e.first*512, (e.last-e.first+1)*512)
		if told, ok := m.resized[i+1]; ok && told != length {
			t.Errorf("the kernel was told that %s is at %s, want %s", e.label, told, length)
		}
	}
}

func TestGrowPartition(t *testing.T) {
	disk := newMemory(t, 64*mib, image(t))
	before := mustTable(t, disk)
	if len(before) != len(layout) {
		t.Fatalf("the image has partitions %v", before)
	}
	grown, err := growPartition(disk, rootIndex)
	if err != nil {
		t.Fatal(err)
	}
	checkGrown(t, disk, before)
	if got := mustTable(t, disk)[rootIndex].last - before[rootIndex].last; grown != got*512 || grown != 54*mib {
		t.Errorf("grown by %d bytes, said %d, want %d", got*512, grown, 54*mib)
	}
	if len(disk.resized) != len(layout) {
		t.Errorf("the kernel was told of %v", disk.resized)
	}

	// Nothing is left to be done.
	disk = newMemory(t, disk.size, disk.sectors)
	if grown, err := growPartition(disk, rootIndex); grown != 0 || err != nil || len(disk.log) != 0 {
		t.Errorf("second time: grown by %d, error %v, %d writes", grown, err, len(disk.log))
	}

	// The disk is enlarged.
	disk = newMemory(t, 256*mib, disk.sectors)
	if grown, err := growPartition(disk, rootIndex); grown != 192*mib || err != nil {
		t.Errorf("on an enlarged disk: grown by %d, error %v", grown, err)
	}
	checkGrown(t, disk, before)
}

func TestGrowPartitionLeavesAlone(t *testing.T) {
	// The last partition of the image ends at 9 MiB.
	for name, size := range map[string]int64{
		"just large enough for the image": 9*mib + 64*512,
		"less than a step of room":        9*mib + growStep,
	} {
		t.Run(name, func(t *testing.T) {
			disk := newMemory(t, 64*mib, image(t))
			// A table that fits the smaller disk: the image's ends at 16 MiB.
			header := disk.sectors[1]
			disk.sectors[1] = rewriteHeader(header, func(h []byte) { putLBA(h[48:], 9*2048+1) })
			disk = newMemory(t, size, disk.sectors)
			before := mustTable(t, disk)
			grown, err := growPartition(disk, rootIndex)
			if grown != 0 || err != nil || len(disk.log) != 0 || len(disk.resized) != 0 {
				t.Errorf("grown by %d, error %v, %d writes", grown, err, len(disk.log))
			}
			if after := mustTable(t, disk); !slices.Equal(after, before) {
				t.Errorf("partitions became %v", after)
			}
		})
	}
}

func TestGrowPartitionErrors(t *testing.T) {
	good := image(t)
	noTable := maps.Clone(good)
	delete(noTable, 1)
	for _, test := range []struct {
		name    string
		sectors map[int64]sector
		index   int
		want    string
	}{
		{"no partition of that number", good, 8, "out of range"},
		{"no partition 0", good, -1, "out of range"},
		{"no table at all", map[int64]sector{}, rootIndex, "neither"},
		{"no primary table, backup not at the end", noTable, rootIndex, "neither"},
	} {
		t.Run(test.name, func(t *testing.T) {
			disk := newMemory(t, 64*mib, test.sectors)
			grown, err := growPartition(disk, test.index)
			if err == nil || !strings.Contains(err.Error(), test.want) || grown != 0 {
				t.Errorf("grown by %d, got error %v, want one with %q", grown, err, test.want)
			}
			if len(disk.log) != 0 {
				t.Errorf("%d writes", len(disk.log))
			}
		})
	}
	t.Run("write error", func(t *testing.T) {
		disk := newMemory(t, 64*mib, good)
		disk.writeErr = errors.New("I/O error")
		if _, err := growPartition(disk, rootIndex); !errors.Is(err, disk.writeErr) {
			t.Errorf("got error %v, want %v", err, disk.writeErr)
		}
		if len(disk.resized) != 0 {
			t.Errorf("the kernel was told of %v", disk.resized)
		}
	})
}

// TestGrowPartitionMindsOthers has partitions that somebody put behind ROOT.
func TestGrowPartitionMindsOthers(t *testing.T) {
	for name, indexes := range map[string][]int{
		"next number":         {8},
		"a number left free":  {20},
		"not in their order":  {9, 8},
		"numbers of all sort": {127, 9},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newMemory(t, 64*mib, image(t))
			if _, err := growPartition(disk, rootIndex); err != nil {
				t.Fatal(err)
			}
			disk = newMemory(t, 128*mib, disk.sectors)
			for i, index := range indexes {
				first := uint64(80+10*i) * 2048
				disk.sectors = addPartition(disk, index, first, first+2047)
			}
			before := mustTable(t, disk)
			if len(before) != len(layout)+len(indexes) {
				t.Fatalf("partitions are %v", before)
			}
			grown, err := growPartition(disk, rootIndex)
			if grown != 0 || err != nil || len(disk.log) != 0 {
				t.Errorf("grown by %d, error %v, %d writes", grown, err, len(disk.log))
			}
		})
	}
}

// TestRestorePrimary damages the primary table of a grown disk.
func TestRestorePrimary(t *testing.T) {
	grown := newMemory(t, 64*mib, image(t))
	before := mustTable(t, grown)
	if _, err := growPartition(grown, rootIndex); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(map[int64]sector){
		"header of zeros":        func(s map[int64]sector) { delete(s, 1) },
		"header of ones":         func(s map[int64]sector) { s[1] = ones() },
		"header's checksum":      func(s map[int64]sector) { h := s[1]; h[60] ^= 1; s[1] = h },
		"entries gone":           func(s map[int64]sector) { delete(s, 2) },
		"entries torn":           func(s map[int64]sector) { s[3] = image(t)[3] },
		"entries beyond the end": func(s map[int64]sector) { s[1] = rewriteHeader(s[1], func(h []byte) { putLBA(h[72:], 1<<40) }) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := newMemory(t, grown.size, grown.sectors)
			damage(disk.sectors)
			if n, err := growPartition(disk, rootIndex); n != 0 || err != nil {
				t.Errorf("grown by %d, error %v", n, err)
			}
			checkGrown(t, disk, before)
			for _, w := range disk.log {
				if w != nil && w.offset >= disk.size/2 {
					t.Errorf("wrote %d bytes at %d: the backup, which was all that was left", len(w.data), w.offset)
				}
			}
		})
	}
}

// TestRestoreThenGrow has a disk whose only good table is the backup, with room
// left behind ROOT.
func TestRestoreThenGrow(t *testing.T) {
	sectors := image(t)
	delete(sectors, 1)
	before := mustTable(t, newMemory(t, imageSize, sectors))
	disk := newMemory(t, imageSize, sectors)
	if grown, err := growPartition(disk, rootIndex); grown != 6*mib || err != nil {
		t.Errorf("grown by %d, error %v", grown, err)
	}
	checkGrown(t, disk, before)
	powerCuts(t, newMemory(t, imageSize, sectors), before, true)
}

// TestPowerCut cuts the power at every point of a growth, with every kind of torn
// write: the kernel must find the same partitions, and the next boot completes it.
func TestPowerCut(t *testing.T) {
	fresh := image(t)
	grown := newMemory(t, 64*mib, fresh)
	if _, err := growPartition(grown, rootIndex); err != nil {
		t.Fatal(err)
	}
	for name, disk := range map[string]*memory{
		"image on a larger disk": newMemory(t, 64*mib, fresh),
		"disk enlarged again":    newMemory(t, 256*mib, grown.sectors),
	} {
		t.Run(name, func(t *testing.T) { powerCuts(t, disk, mustTable(t, disk), true) })
	}
}

// powerCuts grows the partition on copies of the disk with all power cuts, and
// with another one during the growth that follows it.
func powerCuts(t *testing.T, disk *memory, before []entry, again bool) {
	t.Helper()
	run := newMemory(t, disk.size, disk.sectors)
	if _, err := growPartition(run, rootIndex); err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for state := range crashStates(t, disk.sectors, run.log) {
		cuts++
		after := newMemory(t, disk.size, state)
		entries, err := kernelTable(after)
		if err != nil {
			t.Fatalf("power cut %d: %v", cuts, err)
		}
		if !samePartitions(entries, before) {
			t.Fatalf("power cut %d: partitions became %v", cuts, entries)
		}
		if again {
			powerCuts(t, after, before, false)
		}
		if _, err := growPartition(after, rootIndex); err != nil {
			t.Fatalf("growth after power cut %d: %v", cuts, err)
		}
		checkGrown(t, after, before)
	}
	if again && cuts < 8 {
		t.Errorf("only %d power cuts", cuts)
	}
}

// samePartitions compares all but the end of ROOT.
func samePartitions(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(a, b entry) bool {
		if a.label == layout[rootIndex] {
			a.last = b.last
		}
		return a == b
	})
}

// crashStates yields the disks that a power cut during the logged writes can leave: with
// all that was written before a Sync, and with any of the sectors that were written after
// it.
func crashStates(t *testing.T, start map[int64]sector, log []*write) iter.Seq[map[int64]sector] {
	return func(yield func(map[int64]sector) bool) {
		durable := maps.Clone(start)
		var pending []piece // without those that change nothing
		for _, w := range log {
			if w == nil {
				for _, p := range pending {
					durable[p.number] = p.content
				}
				pending = nil
				continue
			}
			for _, p := range w.pieces() {
				if durable[p.number] != p.content {
					pending = append(pending, p)
				}
			}
			if len(pending) > 8 {
				t.Fatalf("%d sectors wait for a Sync", len(pending))
			}
			for mask := range 1 << len(pending) {
				state := maps.Clone(durable)
				for i, p := range pending {
					if mask>>i&1 == 1 {
						state[p.number] = p.content
					}
				}
				if !yield(state) {
					return
				}
			}
		}
	}
}

// FuzzGrowPartition has any bytes in both tables: whatever the kernel accepted
// before, it accepts after.
func FuzzGrowPartition(f *testing.F) {
	good := startOfImage(f)
	f.Add(good[:92], good[512:1536], good[:92], uint8(rootIndex), true)
	f.Add([]byte{}, []byte{}, []byte{}, uint8(0), false)
	f.Fuzz(func(t *testing.T, header, entries, backup []byte, index uint8, fix bool) {
		disk := newMemory(t, imageSize, image(t))
		overlay := func(number int64, b []byte) {
			for ; len(b) > 0; number++ {
				s := disk.sectors[number]
				b = b[copy(s[:], b):]
				disk.sectors[number] = s
			}
		}
		overlay(1, header[:min(len(header), 512)])
		overlay(2, entries[:min(len(entries), 128*128)])
		overlay(imageSize/512-1, backup[:min(len(backup), 512)])
		if fix {
			table := make([]byte, 128*128)
			if _, err := disk.ReadAt(table, 2*512); err != nil {
				t.Fatal(err)
			}
			disk.sectors[1] = rewriteHeader(disk.sectors[1], func(h []byte) {
				binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(table))
			})
		}
		_, kernelErr := kernelTable(disk)
		if _, err := growPartition(disk, int(index)); err != nil {
			if len(disk.log) == 0 {
				return
			}
			t.Log(err)
		}
		if _, err := kernelTable(disk); kernelErr == nil && err != nil {
			t.Error(err)
		}
	})
}
