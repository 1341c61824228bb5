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
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"coreos/internal/boot/bootimage/imagetest"
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

func (v *version) Open(_ context.Context, name string) (io.ReadCloser, error) {
	file, ok := v.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(file)), nil
}

func (v *version) ReadRange(_ context.Context, name string, offset int64, b []byte) error {
	file, ok := v.files[name]
	if !ok {
		return fs.ErrNotExist
	}
	_, err := bytes.NewReader(file).ReadAt(b, offset)
	return err
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
	return &Job{Manifest: to.manifest, Files: to, Slot: slot.B, To: m.slots[slot.B], Store: m.env, Own: m.slots[slot.A], UsrRoot: running.root}
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

// withWhole returns the release with the whole stream of its /usr.
func (v *version) withWhole() *version {
	with := *v
	with.manifest, with.files = new(release.Manifest), maps.Clone(v.files)
	*with.manifest = *v.manifest
	var stream bytes.Buffer
	if err := payload.WriteWhole(context.Background(), &stream, bytes.NewReader(v.usr[:v.manifest.Usr.Size()]), payload.Fast); err != nil {
		panic(err)
	}
	with.files[release.WholeFile(release.Usr)] = stream.Bytes()
	with.manifest.Usr.Whole = &release.File{Size: int64(stream.Len())}
	return &with
}

// withoutPayload returns the release as a bundle has it.
func (v *version) withoutPayload() *version {
	without := *v
	without.files = maps.Clone(v.files)
	delete(without.files, release.PayloadFile(release.Usr))
	return &without
}

// wholeFiles is a server without ranges.
type wholeFiles struct{ Files }

func (wholeFiles) ReadRange(context.Context, string, int64, []byte) error {
	return errors.ErrUnsupported
}

// scenario is a machine before an update.
type scenario struct {
	name         string
	older        *version // in slot B
	running, new *version
	whole        bool // the server has no ranges
}

func scenarios() []scenario {
	first, boot := sequence(0, 64), sequence(5000, 5012)
	oldest := newVersion("1.0.0", blocks(boot), blocks(mixed(1, first, 1000)))
	running := newVersion("2.0.0", blocks(mixed(2, boot, 6000)), blocks(mixed(3, first, 2000)))
	next := newVersion("3.0.0", blocks(mixed(4, boot, 7000)), blocks(mixed(5, mixed(3, first, 2000), 3000)))
	unlike := newVersion("3.0.0", blocks(sequence(8000, 8020)), blocks(sequence(8100, 8180)))
	return []scenario{
		{"first update", nil, running, next, false},
		{"later update", oldest, running, next, false},
		{"no ranges", oldest, running, next, true},
		{"patch", oldest, running, next.patchedFrom(running), false},
		{"patch, no ranges", nil, running, next.patchedFrom(running), true},
		{"nothing in common", oldest, running, unlike, false},
		{"whole stream", oldest, running, unlike.withWhole(), false},
		{"whole stream, no ranges", oldest, running, unlike.withWhole(), true},
		{"bundle", nil, running, next.withWhole().withoutPayload(), false},
		{"same version again", running, running, running, false},
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
	if s.whole {
		j.Files = wholeFiles{j.Files}
	}
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

func TestRun(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			m := s.machine(1)
			j := s.job(m)
			var last Progress
			j.Report = func(p Progress) {
				if p.Fetched < last.Fetched || p.Fetched > p.Total && p.Total > 0 && p.State != Downloading {
					t.Errorf("progress %+v after %+v", p, last)
				}
				last = p
			}
			if err := j.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if last.State != Finalizing || last.Fetched != last.Total {
				t.Errorf("the last progress is %+v", last)
			}
			m.restart() // what was not synced is lost
			states, err := slot.Load(m.env)
			if b := states.Slots[slot.B]; err != nil || states.Next() != slot.B || b.Tries != slot.MaxTries || b.OK {
				t.Errorf("%+v, %v: slot B should be next, on trial", states, err)
			}
			m.wantBoot(t, s.new, s.versions()...)
		})
	}
}

// TestPowerCuts cuts the power before every write and every sync of an update, and in
// the middle of each write. The machine must come up with one of the two versions, whole,
// and the update must then succeed.
func TestPowerCuts(t *testing.T) {
	var points atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d power cuts", points.Load())
		if points.Load() < 1000 {
			t.Errorf("%d power cuts are fewer than 1,000", points.Load())
		}
	})
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := s.machine(1)
			if err := s.job(m).Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			for cut := range m.operations {
				for seed := range uint64(7) {
					s.setUp(m, seed)
					s.cut(t, m, cut+1)
					points.Add(1)
				}
			}
		})
	}
}

func (s scenario) cut(t *testing.T, m *simMachine, cut int) {
	t.Helper()
	m.cut = cut
	if err := s.job(m).Run(context.Background()); !errors.Is(err, errPowerCut) {
		t.Fatalf("cut %d: error %v", cut, err)
	}
	m.restart()
	// Not even GRUB's last resort may be a boot image with another /usr.
	if v := m.loads(slot.B, s.versions()); v != nil && !holds(m.slots[slot.B].Usr, v.usr) {
		t.Fatalf("cut %d: slot B can be loaded with half a /usr", cut)
	}
	n, v, err := m.boot(s.versions()...)
	if err != nil {
		t.Fatalf("cut %d: %v", cut, err)
	}
	if n == slot.B {
		// The switch had reached the disk.
		if v != s.new {
			t.Fatalf("cut %d: slot B came up with version %s", cut, v.manifest.Version)
		}
		return
	}
	if err := s.job(m).Run(context.Background()); err != nil {
		t.Fatalf("cut %d: the update was not completed: %v", cut, err)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
}

// An interrupted update fetches only what it had not fetched.
func TestResume(t *testing.T) {
	s := scenarios()[1]
	whole := s.machine(1)
	var all Progress
	j := s.job(whole)
	j.Report = func(p Progress) { all = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Before the boot image is sealed everything but its first block is there.
	m := s.machine(1)
	m.cut = whole.operations - 2
	if err := s.job(m).Run(context.Background()); !errors.Is(err, errPowerCut) {
		t.Fatal(err)
	}
	m.restart()
	var rest Progress
	j = s.job(m)
	j.Report = func(p Progress) { rest = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	overhead := s.new.manifest.Usr.Tree.Size + s.new.manifest.Boot.Tree.Size
	if rest.Fetched-overhead > (all.Fetched-overhead)/4 {
		t.Errorf("%d bytes were fetched again, of %d at first", rest.Fetched-overhead, all.Fetched-overhead)
	}
}

// rebuilt is an update to a version nearly all blocks of which are a little different.
func rebuilt(whole bool) scenario {
	running := newVersion("2.0.0", blocks(sequence(0, 3)), random(64))
	later := newVersion("3.0.0", blocks(sequence(10, 13)), edited(random(64)))
	return scenario{running: running, new: later.patchedFrom(running), whole: whole}
}

// A patch is taken where it is shorter, and nothing else is fetched then.
func TestPatch(t *testing.T) {
	for _, whole := range []bool{false, true} {
		s := rebuilt(whole)
		m := s.machine(1)
		j := s.job(m)
		var last Progress
		j.Report = func(p Progress) { last = p }
		if err := j.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		usr, boot := s.new.manifest.Usr, s.new.manifest.Boot
		most := usr.Patches[0].Size + usr.Tree.Size + payload.IndexSize(usr.Blocks) + boot.Tree.Size + boot.Payload.Size
		if last.Fetched > most || last.Fetched != last.Total {
			t.Errorf("%+v, want at most %d bytes", last, most)
		}
		m.restart()
		m.wantBoot(t, s.new, s.versions()...)
	}
}

// large is an update to a version that has nothing in common with the one that runs, and
// whose whole stream is in several parts.
func large() scenario {
	running := newVersion("2.0.0", blocks(sequence(0, 3)), blocks(sequence(0, 3)))
	text := random(40)
	later := newVersion("3.0.0", blocks(sequence(10, 13)), bytes.Join([][]byte{text, text, text}, nil))
	return scenario{running: running, new: later.withWhole()}
}

// The whole stream is taken where it is shorter, and nothing else is fetched then.
func TestWhole(t *testing.T) {
	for _, ranges := range []bool{false, true} {
		s := large()
		s.whole = !ranges
		m := s.machine(1)
		j := s.job(m)
		var last Progress
		j.Report = func(p Progress) { last = p }
		if err := j.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		usr, boot := s.new.manifest.Usr, s.new.manifest.Boot
		most := usr.Whole.Size + usr.Tree.Size + payload.IndexSize(usr.Blocks) + boot.Tree.Size + boot.Payload.Size
		if usr.Whole.Size > usr.Payload.Size/2 || last.Fetched > most || last.Fetched != last.Total {
			t.Errorf("%+v, want at most %d bytes; the payload has %d", last, most, usr.Payload.Size)
		}
		m.restart()
		m.wantBoot(t, s.new, s.versions()...)
	}
}

// A whole stream that is of no use costs bytes, not the update, where there is a payload;
// one that is lost is no reason to fetch everything in another way.
func TestBadWhole(t *testing.T) {
	lost := errors.New("connection lost")
	for name, test := range map[string]struct {
		spoil   func(offset int64, b []byte) error
		bundle  error // what comes of a bundle
		payload error // and of a repository
	}{
		"its start": {func(offset int64, b []byte) error { return flip(b, 1-offset) }, ErrWrongBytes, nil},
		"a block":   {func(offset int64, b []byte) error { return flip(b, 90000-offset) }, ErrWrongBytes, nil},
		"all":       {func(_ int64, b []byte) error { clear(b); return nil }, ErrWrongBytes, nil},
		"lost":      {func(int64, []byte) error { return lost }, lost, lost},
	} {
		for _, whole := range []bool{false, true} {
			for _, bundle := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %v, %v", name, whole, bundle), func(t *testing.T) {
					s := large()
					want := test.payload
					if s.whole = whole; bundle {
						s.new, s.whole, want = s.new.withoutPayload(), false, test.bundle
					}
					m := s.machine(1)
					j := s.job(m)
					j.Files = badFiles{j.Files, func(name string, offset int64, b []byte) error {
						if name != release.WholeFile(release.Usr) {
							return nil
						}
						return test.spoil(offset, b)
					}}
					var last Progress
					j.Report = func(p Progress) { last = p }
					if err := j.Run(context.Background()); !errors.Is(err, want) {
						t.Fatalf("error %v, want %v", err, want)
					}
					m.restart()
					if want != nil {
						m.wantBoot(t, s.running, s.versions()...)
						return
					}
					if last.Fetched != last.Total {
						t.Errorf("%+v", last)
					}
					m.wantBoot(t, s.new, s.versions()...)
				})
			}
		}
	}
}

// An update by the whole stream that was interrupted keeps what it had, and fetches the
// rest in whatever way is shorter then.
func TestResumeWhole(t *testing.T) {
	s := large()
	m := s.machine(1)
	lost := errors.New("connection lost")
	half := s.new.manifest.Usr.Whole.Size * 9 / 10
	j := s.job(m)
	j.Files = cutFiles{j.Files, release.WholeFile(release.Usr), half, lost}
	if err := j.Run(context.Background()); !errors.Is(err, lost) {
		t.Fatalf("error %v, want %v", err, lost)
	}
	var rest Progress
	j = s.job(m)
	j.Report = func(p Progress) { rest = p }
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if whole := s.new.manifest.Usr.Whole.Size; rest.Fetched > whole*3/4 {
		t.Errorf("%d bytes were fetched after the interruption, the whole stream has %d", rest.Fetched, whole)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
}

// cutFiles breaks off a file.
type cutFiles struct {
	Files
	name string
	at   int64
	err  error
}

func (f cutFiles) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	file, err := f.Files.Open(ctx, name)
	if err != nil || name != f.name {
		return file, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(file, f.at), failing{f.err})), nil
}

func (f cutFiles) ReadRange(ctx context.Context, name string, offset int64, b []byte) error {
	if name == f.name {
		return errors.ErrUnsupported
	}
	return f.Files.ReadRange(ctx, name, offset, b)
}

// failing is a connection that is lost.
type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// random returns blocks that cannot be compressed.
func random(blocks int) []byte {
	b := make([]byte, blocks*verity.BlockSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// edited changes a byte in every third block.
func edited(b []byte) []byte {
	for i := 100; i < len(b); i += 3 * verity.BlockSize {
		b[i] ^= 1
	}
	return b
}

// A patch that is of no use costs bytes, not the update.
func TestBadPatch(t *testing.T) {
	lost := errors.New("connection lost")
	for name, spoil := range map[string]func(size, offset int64, b []byte) error{
		"index":    func(_, offset int64, b []byte) error { return flip(b, 5-offset) },
		"segment":  func(size, offset int64, b []byte) error { return flip(b, size-20-offset) },
		"all":      func(_, _ int64, b []byte) error { clear(b); return nil },
		"lost":     func(int64, int64, []byte) error { return lost },
		"cut":      func(_, offset int64, _ []byte) error { return map[bool]error{true: lost}[offset > 0] },
		"its dict": func(_, offset int64, b []byte) error { return flip(b, 3-offset) },
	} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %v", name, whole), func(t *testing.T) {
				s := rebuilt(whole)
				m := s.machine(1)
				j := s.job(m)
				asked := false
				j.Files = badFiles{s.new, func(name string, offset int64, b []byte) error {
					if !strings.HasSuffix(name, ".patch") {
						return nil
					}
					asked = true
					return spoil(s.new.manifest.Usr.Patches[0].Size, offset, b)
				}}
				if whole {
					j.Files = wholeFiles{j.Files}
				}
				var last Progress
				j.Report = func(p Progress) { last = p }
				if err := j.Run(context.Background()); err != nil {
					t.Fatal(err)
				}
				if !asked || last.Fetched != last.Total && name != "cut" {
					t.Errorf("asked for the patch: %v; %+v", asked, last)
				}
				m.restart()
				m.wantBoot(t, s.new, s.versions()...)
			})
		}
	}
}

func flip(b []byte, at int64) error {
	if at >= 0 && at < int64(len(b)) {
		b[at] ^= 0x55
	}
	return nil
}

// What the slot holds is known by the hash tree there, unless the slot was spoiled; where
// the tree is wrong, the update finds out.
func TestReplaced(t *testing.T) {
	bootable := func(name string, data []byte) *version {
		boot, _ := imagetest.Slot(t, name, data)
		return newVersion(name, append(boot, make([]byte, -len(boot)&(verity.BlockSize-1))...), data)
	}
	s := scenario{older: bootable("1.0.0", random(40)), running: bootable("2.0.0", random(50)), new: bootable("3.0.0", edited(random(50)))}
	for name, test := range map[string]struct {
		spoil func(m *simMachine, usr []byte)
		known bool
	}{
		"whole":      {func(*simMachine, []byte) {}, true},
		"updating":   {func(m *simMachine, _ []byte) { clear(m.slots[slot.B].Boot.(*simPartition).cache[:512]) }, false},
		"wrong tree": {func(_ *simMachine, usr []byte) { usr[s.older.root.TreeOffset()+50] ^= 1 }, false},
		"wrong data": {func(_ *simMachine, usr []byte) { clear(usr[:20*verity.BlockSize]) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := s.machine(1)
			test.spoil(m, m.slots[slot.B].Usr.(*simPartition).cache)
			j := s.job(m)
			if tree := j.replaced(); (tree != nil) != test.known {
				t.Errorf("the tree of what is replaced is known: %v", tree != nil)
			}
			if err := j.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			m.restart()
			m.wantBoot(t, s.new, s.versions()...)
		})
	}
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

// forgetful loses one block of what is written, on the way from its cache.
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

// What is not read back right is written again.
func TestRepair(t *testing.T) {
	s := scenarios()[1]
	m := s.machine(1)
	j := s.job(m)
	j.To.Usr = &forgetOnce{simPartition: j.To.Usr.(*simPartition)}
	if err := j.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.restart()
	m.wantBoot(t, s.new, s.versions()...)
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
