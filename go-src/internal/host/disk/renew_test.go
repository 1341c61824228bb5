package disk

import (
	"encoding/hex"
	"slices"
	"testing"
)

// published returns the sectors of a disk with the GUIDs of the published image.
func published(t *testing.T) *memory {
	t.Helper()
	disk := newMemory(t, imageSize, image(t))
	table, device, err := readTable(disk)
	if err != nil {
		t.Fatal(err)
	}
	for i, partition := range table.Partitions() {
		copy(partition.PartGUID[:], imageGUID)
		partition.PartGUID[15] = byte(i + 1)
	}
	device.guid = nil
	if err := table.Write(); err != nil {
		t.Fatal(err)
	}
	return newMemory(t, imageSize, disk.sectors)
}

// identifiers returns the GUID of the disk and of each partition by the table whose header is
// at sector lba.
func identifiers(t *testing.T, m *memory, lba int64) []string {
	t.Helper()
	entries, _, err := tableAt(m, uint64(lba), uint64(m.size/512-1))
	if err != nil {
		t.Fatal(err)
	}
	header := m.sectors[lba]
	ids := []string{hex.EncodeToString(header[56:72])}
	for _, e := range entries {
		ids = append(ids, e.guids[32:])
	}
	return ids
}

// sameLayout compares all but the GUIDs of partitions.
func sameLayout(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(a, b entry) bool {
		a.guids, b.guids = a.guids[:32], b.guids[:32]
		return a == b
	})
}

func TestRenew(t *testing.T) {
	disk := published(t)
	before, old := mustTable(t, disk), identifiers(t, disk, 1)
	if renewed, err := renewGUIDs(disk, rootIndex); !renewed || err != nil {
		t.Fatalf("renewed is %v, %v", renewed, err)
	}
	ids := identifiers(t, disk, 1)
	if backup := identifiers(t, disk, imageSize/512-1); !slices.Equal(ids, backup) {
		t.Errorf("the tables differ: %v and %v", ids, backup)
	}
	seen := slices.Concat(ids, old)
	slices.Sort(seen)
	if unique := slices.Compact(slices.Clone(seen)); len(ids) != 1+len(layout) || len(unique) != len(seen) {
		t.Errorf("GUIDs were %v, are %v", old, ids)
	}
	if after := mustTable(t, disk); !sameLayout(after, before) {
		t.Errorf("partitions became %v", after)
	}
	for _, id := range ids { // random ones (RFC 9562, version 4)
		if id[14] != '4' || id[16] < '8' || id[16] > 'b' {
			t.Errorf("%s is not a random GUID", id)
		}
	}

	// These stay.
	disk = newMemory(t, disk.size, disk.sectors)
	if renewed, err := renewGUIDs(disk, rootIndex); renewed || err != nil || len(disk.log) != 0 {
		t.Errorf("second time: renewed is %v, %v, %d writes", renewed, err, len(disk.log))
	}
}

func TestRenewLeavesOthersAlone(t *testing.T) {
	disk := newMemory(t, imageSize, image(t)) // with GUIDs that somebody chose
	if renewed, err := renewGUIDs(disk, rootIndex); renewed || err != nil || len(disk.log) != 0 {
		t.Errorf("renewed is %v, %v, %d writes", renewed, err, len(disk.log))
	}
	for _, index := range []int{-1, len(layout), 127} {
		if renewed, err := renewGUIDs(disk, index); renewed || err == nil {
			t.Errorf("partition %d: renewed is %v, %v", index+1, renewed, err)
		}
	}
}

// TestRenewPowerCut cuts the power at every point of a renewal, with every kind of torn
// write: the kernel must find the same partitions, and the next boot completes it.
func TestRenewPowerCut(t *testing.T) {
	start := published(t)
	before := mustTable(t, start)
	run := newMemory(t, start.size, start.sectors)
	if _, err := renewGUIDs(run, rootIndex); err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for state := range crashStates(t, start.sectors, run.log) {
		cuts++
		disk := newMemory(t, start.size, state)
		if entries := mustTable(t, disk); !sameLayout(entries, before) {
			t.Fatalf("power cut %d: partitions became %v", cuts, entries)
		}
		if _, err := growPartition(disk, rootIndex); err != nil { // restores the primary table
			t.Fatalf("power cut %d: %v", cuts, err)
		}
		if _, err := renewGUIDs(disk, rootIndex); err != nil {
			t.Fatalf("power cut %d: %v", cuts, err)
		}
		ids, backup := identifiers(t, disk, 1), identifiers(t, disk, imageSize/512-1)
		if !slices.Equal(ids, backup) || ids[rootIndex+1] == identifiers(t, start, 1)[rootIndex+1] {
			t.Fatalf("power cut %d: GUIDs %v and %v", cuts, ids, backup)
		}
	}
	if cuts < 8 {
		t.Errorf("only %d power cuts", cuts)
	}
}
