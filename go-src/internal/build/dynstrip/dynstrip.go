// Package dynstrip removes unused dynamic symbols from Go programs.
//
// A Go program that the system's linker has linked exports all of its symbols: in dockerd
// they take 16 MB. strip(1) keeps them, since a library could use a dynamic symbol. A Go
// program that loads no Go plugins has no such library. Imported symbols, and symbols that
// a relocation of the program uses, are kept.
//
// The format is that of the System V ABI with GNU's hash table. No byte is moved: what is
// removed becomes zeros. Programs with System V's own hash table are left as they are: those
// that Go's linker has linked, which export nothing, and those of other linkers' settings.
package dynstrip

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrFormat is in the chain of each error about a program that cannot be changed.
var ErrFormat = errors.New("not a Go program that the system's linker has linked")

const (
	symbolSize = elf.Sym64Size
	relaSize   = 24
	// loader is a symbol of programs that load Go plugins.
	loader = "plugin.open"
)

// executable is a program in memory.
type executable struct {
	file *elf.File
	text []byte
	// symbols, names, versions and hashes are sections, as parts of text. versions is empty
	// if there is no such section.
	symbols, names, versions, hashes []byte
	relocations                      [][]byte
}

// Applies reports whether a file is a dynamically linked Go program that loads no plugins and
// has GNU's hash table only.
func Applies(text []byte) bool {
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil || file.Class != elf.ELFCLASS64 || file.Data != elf.ELFDATA2LSB {
		return false
	}
	symbols, err := file.DynamicSymbols()
	systemV := slices.ContainsFunc(file.Sections, func(s *elf.Section) bool { return s.Type == elf.SHT_HASH })
	return err == nil && file.Section(".interp") != nil && file.Section(".go.buildinfo") != nil &&
		file.Section(".gnu.hash") != nil && !systemV &&
		!slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == loader })
}

// Strip removes the symbols from a program in place, and returns how many it has removed.
func Strip(text []byte) (removed int, err error) {
	if !Applies(text) {
		return 0, ErrFormat
	}
	p, err := open(text)
	if err != nil {
		return 0, err
	}
	used, err := p.used()
	if err != nil {
		return 0, err
	}
	kept, numbers := p.keep(used)
	if removed = len(used) - len(kept); removed == 0 {
		return 0, nil
	}
	if err := p.clearNames(kept); err != nil {
		return 0, err
	}
	hash, err := p.hash(kept)
	if err != nil {
		return 0, err
	}
	p.write(kept, numbers, hash)
	return removed, nil
}

func open(text []byte) (*executable, error) {
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	p := &executable{file: file, text: text}
	for name, to := range map[string]*[]byte{".dynsym": &p.symbols, ".dynstr": &p.names, ".gnu.hash": &p.hashes, ".gnu.version": &p.versions} {
		section := file.Section(name)
		if section == nil && name == ".gnu.version" {
			continue
		}
		if *to, err = p.section(section); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, section := range file.Sections {
		switch section.Type {
		case elf.SHT_RELA:
			part, err := p.section(section)
			if err != nil {
				return nil, err
			}
			p.relocations = append(p.relocations, part)
		case elf.SHT_REL, elf.SHT_GNU_VERDEF:
			return nil, fmt.Errorf("%w: section %s", ErrFormat, section.Name)
		}
	}
	if n := len(p.symbols) / symbolSize; n == 0 || p.versions != nil && len(p.versions) != 2*n {
		return nil, fmt.Errorf("%w: %d symbols, %d bytes of versions", ErrFormat, n, len(p.versions))
	}
	return p, nil
}

// section returns the part of the text that is a section.
func (p *executable) section(s *elf.Section) ([]byte, error) {
	if s == nil || s.Type == elf.SHT_NOBITS || s.Offset > uint64(len(p.text)) || s.FileSize > uint64(len(p.text))-s.Offset {
		return nil, fmt.Errorf("%w: a section is missing", ErrFormat)
	}
	return p.text[s.Offset:][:s.FileSize:s.FileSize], nil
}

func (p *executable) symbol(n int) []byte { return p.symbols[n*symbolSize:][:symbolSize] }

// isImport reports whether a symbol is imported from a library.
func (p *executable) isImport(n int) bool {
	return binary.LittleEndian.Uint16(p.symbol(n)[6:]) == uint16(elf.SHN_UNDEF)
}

// used returns for each symbol whether it is needed.
func (p *executable) used() ([]bool, error) {
	used := make([]bool, len(p.symbols)/symbolSize)
	for n := range used {
		used[n] = p.isImport(n)
	}
	err := p.eachRelocation(func(info []byte) error {
		n := binary.LittleEndian.Uint32(info[4:])
		if n >= uint32(len(used)) {
			return fmt.Errorf("%w: a relocation by symbol %d of %d", ErrFormat, n, len(used))
		}
		used[n] = true
		return nil
	})
	return used, err
}

// eachRelocation calls do with the info of each relocation. Its lower half is the type, the
// upper half the number of the symbol.
func (p *executable) eachRelocation(do func(info []byte) error) error {
	for _, part := range p.relocations {
		for ; len(part) >= relaSize; part = part[relaSize:] {
			if err := do(part[8:16]); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep returns the kept symbols in their new order, and the new number of each. Imported
// symbols are first, as GNU's hash table requires.
func (p *executable) keep(used []bool) (kept []int, numbers map[uint32]uint32) {
	for n := range used {
		if used[n] {
			kept = append(kept, n)
		}
	}
	slices.SortStableFunc(kept, func(a, b int) int {
		switch {
		case p.isImport(a) == p.isImport(b):
			return 0
		case p.isImport(a):
			return -1
		}
		return 1
	})
	numbers = map[uint32]uint32{}
	for i, n := range kept {
		numbers[uint32(n)] = uint32(i)
	}
	return kept, numbers
}

// name returns the string at an offset of the table, with its terminating zero.
func (p *executable) name(offset uint64) ([]byte, error) {
	if offset < uint64(len(p.names)) {
		if end := bytes.IndexByte(p.names[offset:], 0); end >= 0 {
			return p.names[offset:][:end+1], nil
		}
	}
	return nil, fmt.Errorf("%w: a name at %d of %d bytes", ErrFormat, offset, len(p.names))
}

// write overwrites the tables.
func (p *executable) write(kept []int, numbers map[uint32]uint32, hash []byte) {
	var symbols, versions []byte
	for _, n := range kept {
		symbols = append(symbols, p.symbol(n)...)
		if p.versions != nil {
			versions = append(versions, p.versions[2*n:][:2]...)
		}
	}
	_ = p.eachRelocation(func(info []byte) error {
		binary.LittleEndian.PutUint32(info[4:], numbers[binary.LittleEndian.Uint32(info[4:])])
		return nil
	})
	for name, part := range map[string]struct{ to, from []byte }{
		".dynsym": {p.symbols, symbols}, ".gnu.version": {p.versions, versions}, ".gnu.hash": {p.hashes, hash},
	} {
		clear(part.to)
		copy(part.to, part.from)
		p.resize(name, len(part.from))
	}
}

// resize changes the size of a section in its header, for tools that read it. The dynamic
// loader reads only the tables.
func (p *executable) resize(name string, size int) {
	const start, entry, offset = 40, 64, 32 // of the table in the file's header, of a header in it, of the size in that
	table := binary.LittleEndian.Uint64(p.text[start:])
	for i, section := range p.file.Sections {
		if section.Name == name {
			binary.LittleEndian.PutUint64(p.text[table+uint64(i)*entry+offset:], uint64(size))
		}
	}
}
