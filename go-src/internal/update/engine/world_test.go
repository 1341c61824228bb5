package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/bootimage/imagetest"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/grubenv/grubenvtest"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/update/config"
	"coreos/internal/update/download"
	"coreos/internal/update/omaha"
	"coreos/internal/update/omaha/omahatest"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

const board = "amd64-usr"

// world is an update server, a repository and a machine, all real but for their size:
// the machine's partitions are files.
type world struct {
	t    *testing.T
	repo string
	keys string
	root string // root metadata
	http *httptest.Server

	omaha omahatest.Server

	dir     string // of the machine
	running slot.Name
	config  config.Config
	extra   string    // lines of the machine's own update.conf
	locked  bool      // kexec is
	patches int       // from how many versions a published one has patches
	signed  time.Time // time of the signatures of what is published; zero for now

	stall   time.Duration // for how long a server may send nothing
	damaged bool          // the boot state cannot be read
	loads   int
	reboots int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, repo: filepath.Join(t.TempDir(), "repo"), keys: t.TempDir(), dir: t.TempDir(), running: slot.A, patches: repository.Patches}
	w.root = filepath.Join(w.dir, "root.json")
	r := repository.Open(w.repo)
	public := func(names ...string) repository.RoleKeys {
		keys := repository.RoleKeys{Threshold: len(names)}
		for _, name := range names {
			w.key(name)
			key, err := repository.ReadPublicKey(filepath.Join(w.keys, name+".pub"))
			w.must(err)
			keys.Keys = append(keys.Keys, key)
		}
		return keys
	}
	w.must(r.StageRoot(map[string]repository.RoleKeys{
		metadata.ROOT: public("root1", "root2"), metadata.TARGETS: public("targets"), metadata.SNAPSHOT: public("online"), metadata.TIMESTAMP: public("online"),
	}))
	for _, name := range []string{"root1", "root2"} {
		w.must(repository.Sign(filepath.Join(w.repo, "staged/root.json"), w.key(name)))
	}
	w.publish("1.0.0", "")
	root, err := r.Root()
	w.must(err)
	w.must(os.WriteFile(w.root, root, 0o644))

	w.serve()
	w.omaha.Interval = 1234
	w.offer("1.0.0")

	boot, usr := imagetest.Slot(t, "1.0.0", data("1.0.0"))
	w.must(os.WriteFile(filepath.Join(w.dir, "BOOT-A"), pad(boot, 64<<12), 0o644))
	w.must(os.WriteFile(filepath.Join(w.dir, "USR-A"), pad(usr, 128<<12), 0o644))
	w.must(os.WriteFile(filepath.Join(w.dir, "BOOT-B"), make([]byte, 64<<12), 0o644))
	w.must(os.WriteFile(filepath.Join(w.dir, "USR-B"), make([]byte, 128<<12), 0o644))
	env, err := grubenv.Env{"ORDER": "A B", "A_TRIES": "3", "A_OK": "1", "B_TRIES": "0", "B_OK": "0", "B_WHY": "empty"}.Format()
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, "EFI"), grubenvtest.Image(env), 0o644))
	w.config = config.Config{
		Group: "stable", Server: w.http.URL + "/v1/update/",
		Version: "1.0.0", Board: board, Interval: time.Hour,
	}
	return w
}

// serve starts the servers of the world.
func (w *world) serve() {
	mux := http.NewServeMux()
	mux.Handle("/repo/", http.StripPrefix("/repo/", http.FileServer(http.Dir(w.repo))))
	mux.Handle("/v1/update/", omaha.Handler(&w.omaha))
	w.http = httptest.NewServer(mux)
	w.t.Cleanup(w.http.Close)
}

// fork returns a copy of the world, with servers of its own.
func (w *world) fork(t *testing.T) *world {
	c := &world{t: t, repo: filepath.Join(t.TempDir(), "repo"), keys: w.keys, dir: t.TempDir(), running: w.running, config: w.config, patches: w.patches}
	c.root = filepath.Join(c.dir, "root.json")
	c.must(errors.Join(os.CopyFS(c.repo, os.DirFS(w.repo)), os.CopyFS(c.dir, os.DirFS(w.dir))))
	c.serve()
	return c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// key returns a key of the world, which it makes at its first use.
func (w *world) key(name string) repository.Key {
	path := filepath.Join(w.keys, name)
	if _, err := os.Stat(path); err != nil {
		w.must(repository.GenerateKey(path))
	}
	key, err := repository.ReadKey(path)
	w.must(err)
	return key
}

func pad(b []byte, size int) []byte { return append(b, make([]byte, size-len(b))...) }

// data is the /usr of a version: much of it is the same in all of them.
func data(version string) []byte {
	b := make([]byte, 60<<12)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	copy(b[20<<12:], bytes.Repeat([]byte(version), 5<<12/len(version)))
	return b
}

// notes are the release notes of a version.
func notes(version string) string { return "new in " + version }

// publish adds a version to the repository and its channel.
func (w *world) publish(version, least string) {
	w.t.Helper()
	r := repository.Open(w.repo)
	if !w.signed.IsZero() {
		r.Now = func() time.Time { return w.signed }
	}
	boot, usr := imagetest.Slot(w.t, version, data(version))
	dir := w.t.TempDir()
	images := repository.Images{Boot: filepath.Join(dir, "boot"), Usr: filepath.Join(dir, "usr"), Notes: filepath.Join(dir, "notes.md")}
	w.must(errors.Join(os.WriteFile(images.Boot, boot, 0o644), os.WriteFile(images.Usr, usr, 0o644),
		os.WriteFile(images.Notes, []byte(notes(version)), 0o644)))
	_, err := r.AddRelease(context.Background(), board, least, images, repository.Packing{Patches: w.patches, Effort: payload.Fast})
	w.must(err)
	w.must(r.SetChannel(board, "stable", version))
	w.must(repository.Sign(filepath.Join(w.repo, "staged/targets.json"), w.key("targets")))
	w.must(r.Publish(w.key("online")))
	if w.http != nil {
		w.offer(version)
	}
}

// offer makes the Omaha server offer a version, from a repository that is gone and from
// the right one.
func (w *world) offer(version string) {
	w.omaha.Offer(version, w.http.URL+"/gone/", w.http.URL+"/repo/")
}

// Slots, Install, Keep and Restart are the machine's.
func (w *world) Slots() ([]slot.Report, error) {
	if w.damaged {
		return nil, grubenv.ErrFormat
	}
	device, err := grubenv.Open(filepath.Join(w.dir, "EFI"))
	w.must(err)
	defer device.Close()
	states, err := slot.Load(device)
	w.must(err)
	return slot.Inspect(states, w.running, func(n slot.Name) (io.ReadCloser, error) {
		return os.Open(filepath.Join(w.dir, n.BootLabel()))
	}), nil
}

func (w *world) change(f func(slot.Store) error) error {
	return slot.OnPartition(filepath.Join(w.dir, "EFI"), f)
}

func (w *world) Install(ctx context.Context, m *release.Manifest, files slotwriter.Files, report func(slotwriter.Progress)) error {
	pair := func(n slot.Name) slotwriter.Pair {
		boot, err := disk.OpenPartition(filepath.Join(w.dir, n.BootLabel()), os.O_RDWR)
		w.must(err)
		usr, err := disk.OpenPartition(filepath.Join(w.dir, n.UsrLabel()), os.O_RDWR)
		w.must(err)
		w.t.Cleanup(func() { _, _ = boot.Close(), usr.Close() })
		return slotwriter.Pair{Boot: boot, Usr: usr}
	}
	own := pair(w.running)
	info, err := bootimage.ReadInfo(io.NewSectionReader(own.Boot, 0, own.Boot.Size()))
	w.must(err)
	root, err := cmdline.Usr(info.Cmdline)
	w.must(err)
	return w.change(func(store slot.Store) error {
		to := w.running.Other()
		job := slotwriter.Job{Manifest: m, Files: files, Slot: to, To: pair(to), Choice: slotwriter.InStore{Store: store, Slot: to}, Own: own, UsrRoot: root, Report: report}
		return job.Run(ctx)
	})
}

func (w *world) Keep() error {
	return w.change(func(s slot.Store) error { return slot.SetNext(s, w.running) })
}

func (w *world) LoadNext() error {
	if w.locked {
		return errors.New("kexec is locked")
	}
	w.loads++
	return nil
}

// machine starts the daemon of the machine anew.
func (w *world) machine() *Daemon {
	w.t.Helper()
	root := filepath.Join(w.dir, "fs")
	write := func(name, text string) {
		path := filepath.Join(root, name)
		w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		w.must(os.WriteFile(path, []byte(text), 0o644))
	}
	c := w.config
	write("usr/share/coreos/release", "COREOS_RELEASE_VERSION="+c.Version+"\nCOREOS_RELEASE_BOARD="+c.Board+"\n")
	downgrade := "false"
	if c.AllowDowngrade {
		downgrade = "true"
	}
	write("usr/share/coreos/update.conf", "GROUP="+c.Group+"\nSERVER="+c.Server+"\nREPOSITORY="+c.Repository+
		"\nPIN="+c.Pin+"\nALLOW_DOWNGRADE="+downgrade+"\nSTART_SPREAD=0s\nINTERVAL="+c.Interval.String()+"\n")
	text, err := os.ReadFile(w.root)
	w.must(err)
	write(RootFile, string(text))
	if c.Kexec {
		write("etc/coreos/update.conf", "ACTIVATION=kexec\n")
	} else {
		write("etc/coreos/update.conf", w.extra)
	}
	write("proc/sys/kernel/random/boot_id", fmt.Sprintf("boot-%d\n", w.reboots))
	write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	d, err := NewDaemon(root, filepath.Join(w.dir, "state"), func(path string) string { return path }, w, func(status.Status) {})
	w.must(err)
	hasty, err := download.New(download.Options{Proxy: d.config.Proxy, Limit: d.config.Bandwidth, Pause: time.Millisecond, Stall: w.stall})
	w.must(err)
	switch server := d.server.(type) {
	case Omaha:
		server.Client = hasty
		d.server = server
	case Channel:
		server.Client = hasty
		d.server = server
	}
	return d
}

// boot restarts the machine into the slot that is next; healthy says how that ends.
func (w *world) boot(healthy bool) *Daemon {
	w.t.Helper()
	reports, err := w.Slots()
	w.must(err)
	next := slices.IndexFunc(reports, func(r slot.Report) bool { return r.Next })
	name := reports[next].Slot
	w.reboots++
	if healthy {
		w.running, w.config.Version = name, reports[next].Version
		w.must(w.change(func(s slot.Store) error { return slot.MarkGood(s, name) }))
	} else {
		w.must(w.change(func(s slot.Store) error { return slot.Fail(s, name, "unhealthy:50-shop") }))
	}
	return w.machine()
}

// settle is how a daemon begins.
func (w *world) settle(d *Daemon) {
	w.t.Helper()
	w.must(d.Settle())
	d.flush(context.Background())
}

func (w *world) wantEvents(want ...string) {
	w.t.Helper()
	got := omahatest.Words(w.omaha.Events())
	if !slices.Equal(got, want) {
		w.t.Errorf("the server got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (w *world) wantOperation(d *Daemon, want status.Operation, version string) {
	w.t.Helper()
	if s := d.Status(); s.Operation != want || s.NewVersion != version {
		w.t.Errorf("status %+v, want %s %s", s, want, version)
	} else if want == status.NeedReboot && s.NewNotes != notes(version) {
		w.t.Errorf("release notes %q, want %q", s.NewNotes, notes(version))
	} else if want == status.Idle && s.NewNotes != "" {
		w.t.Errorf("release notes %q without a new version", s.NewNotes)
	}
}
