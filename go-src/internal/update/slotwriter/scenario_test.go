package slotwriter

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/slot"
	"coreos/internal/boot/slot/grubtest"
	"coreos/internal/boot/verity"
	"coreos/internal/update/patch"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// Sizes of the simulated partitions.
const (
	slotBlocks = 128
	bootBlocks = 32
)

// version is a release and its images.
type version struct {
	manifest  *release.Manifest
	boot, usr []byte // what the partitions hold
	root      verity.Root
	files     map[string][]byte
}

// newVersion makes a release of two contents, whole blocks each.
func newVersion(name string, boot, usr []byte) *version {
	v := &version{manifest: &release.Manifest{Format: release.Format, Board: "test", Version: name}, files: map[string][]byte{}, boot: boot}
	for content, data := range map[string][]byte{release.Boot: boot, release.Usr: usr} {
		tree, err := verity.NewTree(bytes.NewReader(data))
		if err != nil {
			panic(err)
		}
		var packed bytes.Buffer
		if err := payload.Write(context.Background(), &packed, bytes.NewReader(data), 1); err != nil {
			panic(err)
		}
		c := release.Content{
			RootHash: hex.EncodeToString(tree.Hash[:]), Blocks: tree.Blocks,
			Tree: release.File{Size: tree.TreeSize()}, Payload: release.File{Size: int64(packed.Len())},
		}
		v.files[release.TreeFile(content)], v.files[release.PayloadFile(content)] = tree.Bytes(), packed.Bytes()
		if content == release.Boot {
			v.manifest.Boot = c
		} else {
			v.manifest.Usr, v.root = c, tree.Root
			v.usr = bytes.Join([][]byte{data, tree.Superblock(), tree.Bytes()}, nil)
		}
	}
	return v
}

// patchedFrom returns the release with a patch from an older one.
func (v *version) patchedFrom(older *version) *version {
	with := *v
	with.manifest, with.files = new(release.Manifest), maps.Clone(v.files)
	*with.manifest = *v.manifest
	tree := func(v *version) patch.Version {
		tree, err := v.root.ReadTree(bytes.NewReader(v.usr[v.root.TreeOffset():]))
		if err != nil {
			panic(err)
		}
		return patch.Version{Tree: tree, Data: bytes.NewReader(v.usr)}
	}
	var file bytes.Buffer
	if err := patch.Write(context.Background(), &file, tree(v), tree(older), math.MaxInt64); err != nil {
		panic(err)
	}
	from := older.manifest.Usr.RootHash
	with.files[release.PatchFile(release.Usr, from)] = file.Bytes()
	with.manifest.Usr.Patches = []release.Patch{{From: from, File: release.File{Size: int64(file.Len())}}}
	return &with
}

// find returns a file.
func (v *version) find(name string) ([]byte, error) {
	file, ok := v.files[name]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case file == nil:
		return nil, release.ErrLeftOut
	}
	return file, nil
}

func (v *version) Open(_ context.Context, name string) (io.ReadCloser, error) {
	file, err := v.find(name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(file)), nil
}

func (v *version) ReadRange(_ context.Context, name string, offset int64, b []byte) error {
	file, err := v.find(name)
	if err != nil {
		return err
	}
	_, err = bytes.NewReader(file).ReadAt(b, offset)
	return err
}

func (v *version) ReadRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error {
	return eachRange(ctx, v, name, offsets, b)
}

// eachRange reads ranges one by one.
func eachRange(ctx context.Context, files Files, name string, offsets []int64, b [][]byte) error {
	for i, offset := range offsets {
		if err := files.ReadRange(ctx, name, offset, b[i]); err != nil {
			return err
		}
	}
	return nil
}

// blocks makes blocks from numbers: the same number, the same block.
func blocks(numbers []int) []byte {
	b := make([]byte, 0, len(numbers)*verity.BlockSize)
	for _, n := range numbers {
		block := make([]byte, verity.BlockSize)
		_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(block[:256]) // the rest is zeros, for speed
		b = append(b, block...)
	}
	return b
}

func sequence(from, to int) []int {
	var numbers []int
	for n := from; n < to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// mixed is a later version of numbers: some blocks new, some elsewhere, some gone.
func mixed(seed uint64, numbers []int, fresh int) []int {
	random := rand.New(rand.NewPCG(seed, 2))
	var later []int
	for i, n := range numbers {
		switch random.IntN(5) {
		case 0:
			later = append(later, fresh+i)
		case 1:
			later = append(later, fresh+1000+i, n)
		case 2:
			later = append(later, numbers[random.IntN(len(numbers))])
		default:
			later = append(later, n)
		}
	}
	return later
}

// job is an update of the machine from the version that runs in slot A.
func (m *simMachine) job(to, running *version) *Job {
	return &Job{Manifest: to.manifest, Files: to, Slot: slot.B, To: m.slots[slot.B], Choice: InStore{m.env, slot.B}, Own: m.slots[slot.A], UsrRoot: running.root}
}

func (m *simMachine) install(v *version, n slot.Name) {
	fill(m.slots[n].Boot, v.boot)
	fill(m.slots[n].Usr, v.usr)
}

// holds tells whether a slot's partition begins with the content.
func holds(d Device, content []byte) bool {
	return bytes.HasPrefix(d.(*simPartition).medium, content)
}

// loads returns the version whose boot image is in a slot, if GRUB can load it: its
// signatures cover all of it.
func (m *simMachine) loads(n slot.Name, versions []*version) *version {
	for _, v := range versions {
		if holds(m.slots[n].Boot, v.boot) {
			return v
		}
	}
	return nil
}

// boot starts the machine as often as it takes for one of the versions to run, whole.
func (m *simMachine) boot(versions ...*version) (slot.Name, *version, error) {
	find := func(n slot.Name) *version { return m.loads(n, versions) }
	for range 8 {
		states, err := slot.Load(m.env)
		if err != nil {
			return "", nil, err
		}
		n := grubtest.Boot(&states, func(n slot.Name) bool { return find(n) != nil })
		if n == "" {
			return "", nil, errors.New("NO SLOT CAN BE BOOTED")
		}
		if err := m.env.Write(encode(states)); err != nil {
			return "", nil, err
		}
		// dm-verity panics at the first wrong block that is read.
		if v := find(n); holds(m.slots[n].Usr, v.usr) {
			return n, v, slot.MarkGood(m.env, n)
		}
	}
	return "", nil, errors.New("no slot came up in 8 starts")
}

// encode writes states as GRUB does.
func encode(states slot.States) grubenv.Env {
	env := grubenv.Env{"ORDER": fmt.Sprintf("%s %s", states.Order[0], states.Order[1])}
	for n, s := range states.Slots {
		env[string(n)+"_TRIES"] = fmt.Sprint(s.Tries)
		env[string(n)+"_WHY"] = s.Why
		env[string(n)+"_OK"] = map[bool]string{true: "1", false: "0"}[s.OK]
	}
	return env
}

// wantBoot starts the machine and fails the test if another version runs.
func (m *simMachine) wantBoot(t *testing.T, want *version, versions ...*version) {
	t.Helper()
	n, got, err := m.boot(versions...)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("slot %s with version %s runs, want %s", n, got.manifest.Version, want.manifest.Version)
	}
}

// scenario is a machine before an update.
type scenario struct {
	name         string
	older        *version // in slot B
	running, new *version
	server       server
}

// server is the kind of responses that a server sends.
type server int

const (
	multiple server = iota // several ranges in one response
	single                 // one range
	whole                  // whole files
)

// of returns the files as the server sends them.
func (s server) of(files Files) Files {
	switch s {
	case single:
		return singleFiles{files}
	case whole:
		return wholeFiles{files}
	}
	return files
}

// singleFiles is a server without several ranges in one response.
type singleFiles struct{ Files }

func (singleFiles) ReadRanges(context.Context, string, []int64, [][]byte) error {
	return errors.ErrUnsupported
}

func scenarios() []scenario {
	first, boot := sequence(0, 64), sequence(5000, 5012)
	oldest := newVersion("1.0.0", blocks(boot), blocks(mixed(1, first, 1000)))
	running := newVersion("2.0.0", blocks(mixed(2, boot, 6000)), blocks(mixed(3, first, 2000)))
	next := newVersion("3.0.0", blocks(mixed(4, boot, 7000)), blocks(mixed(5, mixed(3, first, 2000), 3000)))
	unlike := newVersion("3.0.0", blocks(sequence(8000, 8020)), blocks(sequence(8100, 8180)))
	return []scenario{
		{"first update", nil, running, next, multiple},
		{"later update", oldest, running, next, multiple},
		{"single ranges", oldest, running, next, single},
		{"no ranges", oldest, running, next, whole},
		{"patch", oldest, running, next.patchedFrom(running), multiple},
		{"patch, single ranges", oldest, running, next.patchedFrom(running), single},
		{"patch, no ranges", nil, running, next.patchedFrom(running), whole},
		{"nothing in common", oldest, running, unlike, multiple},
		{"whole stream", oldest, running, unlike.withWhole(), multiple},
		{"whole stream, no ranges", oldest, running, unlike.withWhole(), whole},
		{"bundle", nil, running, next.withWhole().inBundle(), multiple},
		{"later bundle", oldest, running, unlike.withWhole().inBundle(), multiple},
		{"same version again", running, running, running, multiple},
	}
}

func (s scenario) machine(seed uint64) *simMachine {
	m := newSimMachine()
	s.setUp(m, seed)
	return m
}

func (s scenario) setUp(m *simMachine, seed uint64) {
	m.reset(seed)
	m.install(s.running, slot.A)
	if s.older != nil {
		m.install(s.older, slot.B)
		if err := slot.MarkGood(m.env, slot.B); err != nil {
			panic(err)
		}
	}
	m.operations = 0
}

func (s scenario) job(m *simMachine) *Job {
	j := m.job(s.new, s.running)
	j.Files = s.server.of(j.Files)
	return j
}

// versions are those that could be found on the machine.
func (s scenario) versions() []*version {
	known := []*version{s.running, s.new}
	if s.older != nil {
		known = append(known, s.older)
	}
	return known
}

// random returns blocks that cannot be compressed.
func random(blocks int) []byte {
	b := make([]byte, blocks*verity.BlockSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// badFiles changes what a server sends.
type badFiles struct {
	Files
	change func(name string, offset int64, b []byte) error
}

func (f badFiles) ReadRange(ctx context.Context, name string, offset int64, b []byte) error {
	if err := f.Files.ReadRange(ctx, name, offset, b); err != nil {
		return err
	}
	return f.change(name, offset, b)
}

func (f badFiles) ReadRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error {
	return eachRange(ctx, f, name, offsets, b)
}

func (f badFiles) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := f.Files.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	if err := f.change(name, 0, b); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
