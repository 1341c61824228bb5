package dynstrip

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
)

// clearNames clears the names that are not used by the kept symbols, by libraries or by
// their versions.
func (p *executable) clearNames(kept []int) error {
	offsets := []uint64{0}
	for _, n := range kept {
		offsets = append(offsets, uint64(binary.LittleEndian.Uint32(p.symbol(n))))
	}
	others, err := p.otherNames()
	if err != nil {
		return err
	}
	names := make([]byte, len(p.names))
	for _, offset := range slices.Concat(offsets, others) {
		name, err := p.name(offset)
		if err != nil {
			return err
		}
		copy(names[offset:], name)
	}
	copy(p.names, names)
	return nil
}

// otherNames returns the offsets of the names that do not belong to symbols.
func (p *executable) otherNames() ([]uint64, error) {
	var offsets []uint64
	dynamic, err := p.section(p.file.Section(".dynamic"))
	if err != nil {
		return nil, fmt.Errorf(".dynamic: %w", err)
	}
	for ; len(dynamic) >= 16; dynamic = dynamic[16:] {
		switch elf.DynTag(binary.LittleEndian.Uint64(dynamic)) {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH:
			offsets = append(offsets, binary.LittleEndian.Uint64(dynamic[8:]))
		}
	}
	section := p.file.SectionByType(elf.SHT_GNU_VERNEED)
	if section == nil {
		return offsets, nil
	}
	needs, err := p.section(section)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", section.Name, err)
	}
	versions, err := versionNames(needs)
	return append(offsets, versions...), err
}

// versionNames returns the offsets of the names in the versions that a program needs: a
// list of libraries, each with a list of versions. An entry is always after the previous
// one.
func versionNames(needs []byte) ([]uint64, error) {
	var offsets []uint64
	word := func(at uint64) (uint64, error) {
		if at+4 > uint64(len(needs)) {
			return 0, fmt.Errorf("%w: a version at %d of %d bytes", ErrFormat, at, len(needs))
		}
		return uint64(binary.LittleEndian.Uint32(needs[at:])), nil
	}
	// list follows a list. name and next are the positions of these fields in an entry.
	list := func(at, name, next uint64, entry func(at uint64) error) error {
		for {
			offset, err := word(at + name)
			if err != nil {
				return err
			}
			offsets = append(offsets, offset)
			if err := entry(at); err != nil {
				return err
			}
			step, err := word(at + next)
			if err != nil || step == 0 {
				return err
			}
			at += step
		}
	}
	err := list(0, 4, 12, func(at uint64) error {
		first, err := word(at + 8)
		if err != nil || first == 0 {
			return err
		}
		return list(at+first, 8, 12, func(uint64) error { return nil })
	})
	return offsets, err
}

// hash returns GNU's hash table of the kept symbols, in one bucket.
func (p *executable) hash(kept []int) ([]byte, error) {
	const words, shift = 1, 6 // of the Bloom filter, 64 bits each; to its second bit
	first := slices.IndexFunc(kept, func(n int) bool { return !p.isImport(n) })
	if first < 0 {
		first = len(kept)
	}
	var filter uint64
	var chain []byte
	for i, n := range kept[first:] {
		name, err := p.name(uint64(binary.LittleEndian.Uint32(p.symbol(n))))
		if err != nil {
			return nil, err
		}
		h := gnuHash(bytes.TrimSuffix(name, []byte{0}))
		filter |= 1<<(h%64) | 1<<(h>>shift%64)
		last := uint32(0)
		if first+i == len(kept)-1 {
			last = 1
		}
		chain = binary.LittleEndian.AppendUint32(chain, h&^1|last)
	}
	bucket := uint32(first)
	if len(chain) == 0 {
		bucket = 0
	}
	var table []byte
	for _, n := range []uint32{1, uint32(first), words, shift} {
		table = binary.LittleEndian.AppendUint32(table, n)
	}
	table = binary.LittleEndian.AppendUint64(table, filter)
	table = append(binary.LittleEndian.AppendUint32(table, bucket), chain...)
	if len(table) > len(p.hashes) {
		return nil, fmt.Errorf("%w: a hash table of %d bytes", ErrFormat, len(p.hashes))
	}
	return table, nil
}

func gnuHash(name []byte) uint32 {
	h := uint32(5381)
	for _, c := range name {
		h = h*33 + uint32(c)
	}
	return h
}
