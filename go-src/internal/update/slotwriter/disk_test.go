package slotwriter

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/grubenv/grubenvtest"
	"coreos/internal/boot/slot"
)

// sector is what a disk writes atomically, in bytes.
const sector = 512

var errPowerCut = errors.New("power cut")

// simDisk is a disk with a write cache. After a power cut, each sector that was not synced
// has its old or its new content, in any combination.
type simDisk struct {
	random     *rand.Rand
	partitions []*simPartition
	// operations counts writes and syncs. The power fails before operation number cut; 0
	// means never.
	operations, cut int
	dead            bool
}

type simPartition struct {
	disk *simDisk
	// medium has the content that outlives a power cut, cache the content that is read.
	medium, cache []byte
	pending       []simWrite
}

type simWrite struct {
	offset int64
	data   []byte
}

func (d *simDisk) partition(size int) *simPartition {
	p := &simPartition{disk: d, medium: make([]byte, size), cache: make([]byte, size)}
	d.partitions = append(d.partitions, p)
	return p
}

// step is the moment before a write or sync.
func (d *simDisk) step() error {
	if d.operations++; d.operations == d.cut {
		d.dead = true
	}
	if d.dead {
		return errPowerCut
	}
	return nil
}

func (p *simPartition) Size() int64 { return int64(len(p.cache)) }

func (p *simPartition) ReadAt(b []byte, offset int64) (int, error) {
	if p.disk.dead {
		return 0, errPowerCut
	}
	if offset+int64(len(b)) > p.Size() {
		return 0, fmt.Errorf("read of %d bytes at %d of %d", len(b), offset, p.Size())
	}
	return copy(b, p.cache[offset:]), nil
}

func (p *simPartition) WriteAt(b []byte, offset int64) (int, error) {
	if offset+int64(len(b)) > p.Size() || offset%sector != 0 || len(b)%sector != 0 {
		return 0, fmt.Errorf("write of %d bytes at %d of %d", len(b), offset, p.Size())
	}
	err := p.disk.step()
	if err != nil && p.disk.operations != p.disk.cut {
		return 0, err // the machine is off
	}
	// The write in which the power fails is under way: torn like all others.
	for i := 0; i < len(b); i += sector {
		p.pending = append(p.pending, simWrite{offset + int64(i), append([]byte(nil), b[i:i+sector]...)})
	}
	copy(p.cache[offset:], b)
	return len(b), err
}

func (p *simPartition) Sync() error {
	if err := p.disk.step(); err != nil {
		return err
	}
	for _, w := range p.pending {
		copy(p.medium[w.offset:], w.data)
	}
	p.pending = nil
	return nil
}

// restart switches the power on again. Some of the sectors in the cache have reached the
// medium.
func (d *simDisk) restart() {
	for _, p := range d.partitions {
		d.random.Shuffle(len(p.pending), func(i, j int) { p.pending[i], p.pending[j] = p.pending[j], p.pending[i] })
		for _, w := range p.pending {
			if d.random.IntN(2) == 0 {
				copy(p.medium[w.offset:], w.data)
			}
		}
		p.pending = nil
		copy(p.cache, p.medium)
	}
	d.dead, d.cut, d.operations = false, 0, 0
}

// simMachine is a machine with such a disk.
type simMachine struct {
	*simDisk
	esp   *simPartition
	slots map[slot.Name]Pair
	env   slot.Store
}

func newSimMachine() *simMachine {
	d := &simDisk{}
	m := &simMachine{simDisk: d, esp: d.partition(1 << 16), slots: map[slot.Name]Pair{}}
	for _, n := range []slot.Name{slot.A, slot.B} {
		m.slots[n] = Pair{Boot: d.partition(bootBlocks * 4096), Usr: d.partition(slotBlocks * 4096)}
	}
	return m
}

// reset makes the disk one with a proven slot A, where nothing is yet.
func (m *simMachine) reset(seed uint64) {
	m.random, m.dead, m.cut = rand.New(rand.NewPCG(seed, 1)), false, 0
	for _, p := range m.partitions {
		clear(p.medium)
		clear(p.cache)
		p.pending = nil
	}
	env, err := grubenv.Env{"ORDER": "A B", "A_TRIES": "3", "A_OK": "1", "B_TRIES": "0", "B_OK": "0"}.Format()
	if err != nil {
		panic(err)
	}
	fill(m.esp, grubenvtest.Image(env))
	if m.env, err = grubenv.On(m.esp); err != nil {
		panic(err)
	}
}

// fill writes a content to a partition as a whole, beforehand.
func fill(to Device, content []byte) {
	p := to.(*simPartition)
	copy(p.medium, content)
	copy(p.cache, content)
}
