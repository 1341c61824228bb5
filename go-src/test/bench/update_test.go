package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/grubenv/grubenvtest"
	"coreos/internal/boot/slot"
	"coreos/internal/boot/verity"
	"coreos/internal/host/disk"
	"coreos/internal/update/download"
	"coreos/internal/update/patch"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
)

// board is the board of the releases.
const board = "amd64-usr"

// pair are the images of two versions and where the comparison works.
type pair struct {
	dir, older, newer string
}

func (p pair) images(of string) repository.Images {
	return repository.Images{Boot: filepath.Join(of, "coreos_production_boot.img"), Usr: filepath.Join(of, "coreos_production_usr.img")}
}

func (p pair) bundle() string { return filepath.Join(p.dir, "update.bundle") }

// cost is what one way of updating costs a machine.
type cost struct {
	name           string
	wire, requests int64
	cpu, wall      time.Duration
	memory         int64 // at most, resident, in bytes
}

// TestBenchUpdates compares ways of getting from one version to another.
func TestBenchUpdates(t *testing.T) {
	older, image := os.Getenv("COREOS_OLD"), os.Getenv("COREOS_IMAGE")
	if older == "" {
		t.Skip("OLD= names no directory with the images of an older version")
	}
	p := pair{t.TempDir(), older, filepath.Dir(image)}
	install := ours(t, p, "ours, from a version with a patch", true)
	costs := []cost{install, hashing(t, p), whole(t, p), patchFrom(t, p), ours(t, p, "ours, from any other version", false), bundle(t, p)}
	if _, err := exec.LookPath("casync"); err == nil {
		costs = append(costs, casync(t, p))
	}
	costs = append(costs, rauc(t, p)...)
	for _, c := range costs {
		fmt.Printf("%-34s  wire %7.2f MB  requests %5d  CPU %6.2f s  wall %6.2f s  memory %5.0f MB\n", c.name,
			float64(c.wire)/1e6, c.requests, c.cpu.Seconds(), c.wall.Seconds(), float64(c.memory)/1e6)
	}
	fmt.Printf("ours / zstd --patch-from: wire %.2f; ours / hashing and unpacking: CPU %.2f\n",
		float64(costs[0].wire)/float64(costs[3].wire), costs[0].cpu.Seconds()/costs[1].cpu.Seconds())
}

// measured runs a program and returns its cost. time(1) reports the memory, since wait(2)
// never reports less than the memory of this process.
func measured(t *testing.T, name string, command *exec.Cmd) cost {
	t.Helper()
	memory := filepath.Join(t.TempDir(), "memory")
	timed := exec.Command("time", append([]string{"-f", "%M", "-o", memory}, command.Args...)...)
	timed.Env = command.Env
	start := time.Now()
	if out, err := timed.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	c := cost{name: name, cpu: timed.ProcessState.UserTime() + timed.ProcessState.SystemTime(), wall: time.Since(start)}
	text, err := os.ReadFile(memory)
	must(t, err)
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	must(t, err)
	c.memory = kilobytes << 10
	return c
}

// child makes the command that runs one of this file's tests in a process of its own.
func child(t *testing.T, test string, env ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	command.Env = append(os.Environ(), env...)
	return command
}

// task is the input of a child process: a release from the server at URL, or from a bundle.
type task struct {
	URL, Bundle, Dir, Older string
	Manifest                *release.Manifest
}

func writeTask(t *testing.T, dir string, of task) string {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "task.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readTask(t *testing.T, path string) task {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var of task
	if err := json.Unmarshal(text, &of); err != nil {
		t.Fatal(err)
	}
	return of
}

// childTask returns the task of this process.
func childTask(t *testing.T) task {
	t.Helper()
	path := os.Getenv("COREOS_TASK")
	if path == "" {
		t.Skip("a part of TestBenchUpdates")
	}
	return readTask(t, path)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// publish makes a repository with both versions, and the bundle of the newer one. It returns
// the manifest of that one, with a patch from the older one or without.
func publish(t *testing.T, p pair, patches bool) *release.Manifest {
	keys, repo := filepath.Join(p.dir, "keys"), repository.Open(filepath.Join(p.dir, "repo"))
	must(t, os.MkdirAll(filepath.Join(p.dir, "repo"), 0o755))
	_, err := repository.MakeKeys(keys)
	must(t, err)
	must(t, repo.Pack(t.Context(), keys, board, "stable", p.images(p.older), repository.Packing{Effort: payload.Fast}, io.Discard))
	bundle, err := os.Create(p.bundle())
	must(t, err)
	start := time.Now()
	packing := repository.Packing{Patches: repository.Patches, Effort: payload.Effort(cmp.Or(os.Getenv("COREOS_COMPRESSION"), "best"))}
	must(t, errors.Join(repo.Pack(t.Context(), keys, board, "stable", p.images(p.newer), packing, bundle), bundle.Close()))
	fmt.Printf("release added, with the patch, in %.1f s\n", time.Since(start).Seconds())
	info, err := imageInfo(p.images(p.newer).Boot)
	must(t, err)
	manifest, err := repo.Manifest(t.Context(), board, info.Version)
	must(t, err)
	if !patches {
		manifest.Usr.Patches = nil
	}
	return manifest
}

// ours installs the newer version from a web server into an empty slot.
func ours(t *testing.T, p pair, name string, patches bool) cost {
	manifest := publish(t, p, patches)
	repo := filepath.Join(p.dir, "repo")
	var sent, asked atomic.Int64
	files := http.FileServer(http.Dir(filepath.Join(repo, release.Directory(board, manifest.Version))))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		files.ServeHTTP(counted{w, &sent}, r)
	}))
	defer server.Close()
	path := writeTask(t, p.dir, task{URL: server.URL, Dir: p.dir, Older: p.older, Manifest: manifest})
	c := measured(t, name, child(t, "TestInstallChild", "COREOS_TASK="+path))
	c.wire, c.requests = sent.Load(), asked.Load()
	return c
}

// bundle installs the newer version from its bundle into an empty slot.
func bundle(t *testing.T, p pair) cost {
	of := readTask(t, filepath.Join(p.dir, "task.json")) // as ours has left it
	of.Bundle = p.bundle()
	path := writeTask(t, t.TempDir(), of)
	c := measured(t, "ours, from a bundle", child(t, "TestInstallChild", "COREOS_TASK="+path))
	c.wire = size(t, of.Bundle)
	return c
}

type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// TestInstallChild is the installation alone, in a process whose cost is measured.
func TestInstallChild(t *testing.T) {
	of := childTask(t)
	env, err := grubenv.Env{"ORDER": "A B", "A_TRIES": "3", "A_OK": "1"}.Format()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(of.Dir, "esp"), grubenvtest.Image(env), 0o644))
	open := func(path string, flag int, size int64) slotwriter.Device {
		if size > 0 {
			file, err := os.Create(path)
			must(t, err)
			must(t, errors.Join(file.Truncate(size), file.Close()))
		}
		partition, err := disk.OpenPartition(path, flag)
		must(t, err)
		return partition
	}
	images := pair{}.images(of.Older)
	own := slotwriter.Pair{Boot: open(images.Boot, os.O_RDONLY, 0), Usr: open(images.Usr, os.O_RDONLY, 0)}
	to := slotwriter.Pair{Boot: open(filepath.Join(of.Dir, "boot-b"), os.O_RDWR, 128<<20), Usr: open(filepath.Join(of.Dir, "usr-b"), os.O_RDWR, 2<<30)}
	root, err := runningRoot(images.Boot)
	must(t, err)
	files := of.files(t)
	must(t, slot.OnPartition(filepath.Join(of.Dir, "esp"), func(store slot.Store) error {
		job := slotwriter.Job{Manifest: of.Manifest, Files: files, Slot: slot.B, To: to, Choice: slotwriter.InStore{Store: store, Slot: slot.B}, Own: own, UsrRoot: root}
		return job.Run(context.Background())
	}))
}

// files returns the files of the release.
func (of task) files(t *testing.T) slotwriter.Files {
	t.Helper()
	if of.Bundle == "" {
		client, err := download.New(download.Options{})
		must(t, err)
		return download.Directory{Client: client, URL: of.URL}
	}
	file, err := os.Open(of.Bundle)
	must(t, err)
	bundle, err := repository.OpenBundle(file, size(t, of.Bundle))
	must(t, err)
	return bundle
}

// runningRoot returns the root of the /usr that a boot image starts.
func runningRoot(boot string) (verity.Root, error) {
	info, err := imageInfo(boot)
	if err != nil {
		return verity.Root{}, err
	}
	return cmdline.Usr(info.Cmdline)
}

func imageInfo(boot string) (bootimage.Info, error) {
	file, err := os.Open(boot)
	if err != nil {
		return bootimage.Info{}, err
	}
	defer file.Close()
	return bootimage.ReadInfo(file)
}

// hashing is the least that an installation must do: each block of the new version is
// hashed once, and the patch unpacked.
func hashing(t *testing.T, p pair) cost {
	path := filepath.Join(p.dir, "task.json") // as ours has left it
	return measured(t, "hashing and unpacking alone", child(t, "TestHashChild", "COREOS_TASK="+path))
}

// TestHashChild hashes the blocks of a version, and unpacks a patch.
func TestHashChild(t *testing.T) {
	of := childTask(t)
	repo := filepath.Join(of.Dir, "repo", release.Directory(board, of.Manifest.Version))
	for _, name := range []string{"boot-b", "usr-b"} {
		file, err := os.Open(filepath.Join(of.Dir, name))
		must(t, err)
		content := map[string]release.Content{"boot-b": of.Manifest.Boot, "usr-b": of.Manifest.Usr}[name]
		_, err = verity.NewTree(io.LimitReader(file, content.Size()))
		must(t, errors.Join(err, file.Close()))
	}
	older, err := os.Open(pair{}.images(of.Older).Usr)
	must(t, err)
	defer older.Close()
	own, err := runningRoot(pair{}.images(of.Older).Boot)
	must(t, err)
	ownTree, err := own.ReadTreeBehind(older)
	must(t, err)
	root, err := of.Manifest.Usr.Root()
	must(t, err)
	leaves, err := os.Open(filepath.Join(repo, release.TreeFile(release.Usr)))
	must(t, err)
	defer leaves.Close()
	tree, err := root.ReadTree(leaves)
	must(t, err)
	packed, err := os.ReadFile(filepath.Join(repo, release.PatchFile(release.Usr, of.Manifest.Usr.Patches[0].From)))
	must(t, err)
	index := patch.NewIndex(tree, ownTree)
	must(t, index.Read(packed[:index.Size()], int64(len(packed))))
	for _, s := range index.Segments {
		must(t, index.Decode(s, packed[s.Offset:s.Offset+s.Length], older, func(uint64, []byte) error { return nil }))
	}
}

// joined makes one file of a version's images, for tools that know of one. Blocks of
// /usr stay blocks in it, for tools that compare such.
func joined(t *testing.T, p pair, of, name string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	images := p.images(of)
	run(t, "sh", "-c", `cat "$1" >"$3" && truncate --size=%4096 "$3" && cat "$2" >>"$3"`, "sh", images.Boot, images.Usr, path)
	return path
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

// whole fetches the whole version, compressed.
func whole(t *testing.T, p pair) cost {
	packed := filepath.Join(p.dir, "whole.zst")
	run(t, "zstd", "-q", "-f", "-T0", "-19", joined(t, p, p.newer, "new"), "-o", packed)
	c := measured(t, "whole image, zstd -19", exec.Command("zstd", "-q", "-f", "-d", packed, "-o", filepath.Join(p.dir, "out")))
	c.wire, c.requests = size(t, packed), 1
	return c
}

// patchFrom fetches the patch that a server computed for this pair of versions.
func patchFrom(t *testing.T, p pair) cost {
	older, newer, patch := joined(t, p, p.older, "old"), joined(t, p, p.newer, "new"), filepath.Join(p.dir, "patch.zst")
	run(t, "zstd", "-q", "-f", "-T0", "-19", "--long=31", "--patch-from="+older, newer, "-o", patch)
	c := measured(t, "zstd -19 --patch-from", exec.Command("zstd", "-q", "-f", "-d", "--long=31", "--patch-from="+older, patch, "-o", filepath.Join(p.dir, "out")))
	c.wire, c.requests = size(t, patch), 1
	return c
}

// casync fetches the chunks that the older version does not have.
func casync(t *testing.T, p pair) cost {
	older, newer := joined(t, p, p.older, "old"), joined(t, p, p.newer, "new")
	store, seed, index := filepath.Join(p.dir, "store.castr"), filepath.Join(p.dir, "seed.castr"), filepath.Join(p.dir, "new.caibx")
	run(t, "casync", "make", "--store="+store, index, newer)
	run(t, "casync", "make", "--store="+seed, filepath.Join(p.dir, "old.caibx"), older)
	c := measured(t, "casync", exec.Command("casync", "extract", "--store="+store, "--seed="+older, index, filepath.Join(p.dir, "extracted")))
	c.wire = size(t, index)
	have := map[string]bool{}
	for _, path := range chunks(t, seed) {
		have[filepath.Base(path)] = true
	}
	for _, path := range chunks(t, store) {
		if !have[filepath.Base(path)] {
			c.wire += size(t, path)
			c.requests++
		}
	}
	return c
}

func chunks(t *testing.T, store string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(store, "*", "*.cacnk"))
	must(t, err)
	if len(paths) == 0 {
		t.Fatalf("%s has no chunks", store)
	}
	return paths
}
