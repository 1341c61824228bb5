package engine

import (
	"bytes"
	"context"
	"errors"
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

	"coreos/internal/update/status"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/bootimage/imagetest"
	"coreos/internal/boot/cmdline"
	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/grubenv/grubenvtest"
	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
	"coreos/internal/update/config"
	"coreos/internal/update/omaha"
	"coreos/internal/update/omaha/omahatest"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
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
	signed  time.Time // when what is published was signed; zero for now

	loads int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, repo: filepath.Join(t.TempDir(), "repo"), keys: t.TempDir(), dir: t.TempDir(), running: slot.A, patches: repository.Patches}
	w.root = filepath.Join(w.dir, "root.json")
	key := filepath.Join(w.keys, "key")
	w.must(repository.GenerateKey(key))
	public, err := repository.ReadPublicKey(key + ".pub")
	w.must(err)
	r := repository.Open(w.repo)
	all := map[string]repository.RoleKeys{}
	for _, role := range repository.Roles {
		all[role] = repository.RoleKeys{Keys: []*metadata.Key{public}, Threshold: 1}
	}
	w.must(r.StageRoot(all))
	w.must(repository.Sign(filepath.Join(w.repo, "staged/root.json"), w.key()))
	w.publish("1.0.0", "")
	root, err := r.Root()
	w.must(err)
	w.must(os.WriteFile(w.root, root, 0o644))

	mux := http.NewServeMux()
	mux.Handle("/repo/", http.StripPrefix("/repo/", http.FileServer(http.Dir(w.repo))))
	mux.Handle("/v1/update/", omaha.Handler(&w.omaha))
	w.http = httptest.NewServer(mux)
	t.Cleanup(w.http.Close)
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

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) key() repository.Key {
	key, err := repository.ReadKey(filepath.Join(w.keys, "key"))
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
	w.must(repository.Sign(filepath.Join(w.repo, "staged/targets.json"), w.key()))
	w.must(r.Publish(w.key()))
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
		job := slotwriter.Job{Manifest: m, Files: files, Slot: w.running.Other(), To: pair(w.running.Other()), Store: store, Own: own, UsrRoot: root, Report: report}
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
	write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	d, err := NewDaemon(root, filepath.Join(w.dir, "state"), w, func(status.Status) {})
	w.must(err)
	return d
}

// boot restarts the machine into the slot that is next; healthy says how that ends.
func (w *world) boot(healthy bool) *Daemon {
	w.t.Helper()
	reports, err := w.Slots()
	w.must(err)
	next := slices.IndexFunc(reports, func(r slot.Report) bool { return r.Next })
	name := reports[next].Slot
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

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	d := w.machine()
	interval, err := d.Attempt(context.Background(), false)
	if err != nil || interval != 1234*time.Second {
		t.Errorf("no update: %v, %v", interval, err)
	}
	w.wantOperation(d, status.Idle, "")
	w.publish("1.1.0", "1.0.0")
	if interval, err = d.Attempt(context.Background(), false); err != nil || interval != 1234*time.Second {
		t.Errorf("%v, %v", interval, err)
	}
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	w.wantEvents("started success 1.1.0", "finished success 1.1.0", "complete success 1.1.0")
	// Nothing more happens before the restart, but the daemon may be restarted.
	d = w.machine()
	w.settle(d)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	if _, err := d.Attempt(context.Background(), false); err != nil {
		t.Error(err)
	}
	w.wantEvents()

	d = w.boot(true)
	if w.running != slot.B || w.config.Version != "1.1.0" {
		t.Fatalf("slot %s with %s runs", w.running, w.config.Version)
	}
	w.settle(d)
	w.wantOperation(d, status.Idle, "")
	w.wantEvents("complete rebooted 1.1.0")

	// And back into slot A.
	w.publish("1.2.0", "")
	_, err = d.Attempt(context.Background(), false)
	w.must(err)
	d = w.boot(true)
	w.settle(d)
	if w.running != slot.A || w.config.Version != "1.2.0" {
		t.Errorf("slot %s with %s runs", w.running, w.config.Version)
	}
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	d := w.machine()
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.omaha.Events()
	d = w.boot(false)
	w.settle(d)
	w.wantEvents("complete error 1.1.0 unhealthy:50-shop")
	w.wantOperation(d, status.Idle, "")
	if got := d.Status().Refused["1.1.0"]; got != "unhealthy:50-shop" {
		t.Errorf("refused because of %q", got)
	}
	// Not again by itself, not even after a restart of the daemon.
	d = w.machine()
	if _, err := d.Attempt(context.Background(), false); !errors.Is(err, ErrRolledBack) {
		t.Errorf("error %v", err)
	}
	w.wantEvents()
	// A newer one, and this one on command.
	_, err = d.Attempt(context.Background(), true)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	w.must(d.Reset(context.Background()))
	w.wantOperation(d, status.Idle, "")
	reports, err := w.Slots()
	if err != nil || !reports[0].Next {
		t.Errorf("after the reset slot A should be next: %+v, %v", reports, err)
	}
	w.publish("1.1.1", "")
	_, err = d.Attempt(context.Background(), false)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.1")
}

func TestPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*world)
		version string
		want    error
	}{
		"older":           {func(w *world) { w.config.Version = "2.0.0" }, "1.1.0", ErrDowngrade},
		"older, allowed":  {func(w *world) { w.config.Version, w.config.AllowDowngrade = "2.0.0", true }, "1.1.0", nil},
		"pinned":          {func(w *world) { w.config.Pin = "1.0." }, "1.1.0", ErrPinned},
		"pinned to it":    {func(w *world) { w.config.Pin = "1.1." }, "1.1.0", nil},
		"minimum version": {func(w *world) { w.publish("1.2.0", "1.1.0") }, "1.2.0", ErrTooOld},
		"slot not proven": {func(w *world) {
			w.must(w.change(func(s slot.Store) error { return slot.Fail(s, slot.A, "x") }))
			w.unproven()
		}, "1.1.0", ErrUnproven},
		"not in the repository": {func(w *world) { w.offer("9.0.0") }, "9.0.0", nil},
		"from a stranger":       {func(w *world) { w.root = newWorld(w.t).root }, "1.1.0", repository.ErrWrongKey},
		"changed payload":       {func(w *world) { w.spoil("boot.zst") }, "1.1.0", slotwriter.ErrWrongBytes},
		"changed tree":          {func(w *world) { w.spoil("boot.verity") }, "1.1.0", slotwriter.ErrWrongBytes},
		"slot too small":        {func(w *world) { w.must(os.Truncate(filepath.Join(w.dir, "USR-B"), 30<<12)) }, "1.1.0", slotwriter.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("1.1.0", "")
			test.change(w)
			d := w.machine()
			_, err := d.Attempt(context.Background(), false)
			if test.want == nil && test.version != "9.0.0" {
				w.must(err)
				w.wantOperation(d, status.NeedReboot, test.version)
				return
			}
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			w.wantOperation(d, status.Idle, "")
			if d.Status().LastError == "" {
				t.Error("the status does not say why")
			}
			if reports, err := w.Slots(); err != nil || !reports[0].Next {
				t.Errorf("slot A should be next: %+v, %v", reports, err)
			}
		})
	}
}

func (w *world) unproven() {
	w.must(w.change(func(s slot.Store) error {
		if err := slot.MarkBad(s, slot.A, ""); err != nil {
			return err
		}
		return slot.SetNext(s, slot.A)
	}))
}

// spoil changes a byte of a file of version 1.1.0.
func (w *world) spoil(name string) {
	path := filepath.Join(w.repo, board, "1.1.0", name)
	text, err := os.ReadFile(path)
	w.must(err)
	text[0x20] ^= 1
	w.must(os.WriteFile(path, text, 0o644))
}

// Events that the server missed reach it later, in their order.
func TestEventsAreKept(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	w.config.Server, w.config.Repository = "", w.http.URL+"/repo/"
	d := w.machine()
	d.server = deaf{d.server}
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.wantEvents()
	w.config.Server = w.http.URL + "/v1/update/"
	d = w.boot(true)
	w.settle(d)
	w.wantEvents("started success 1.1.0", "finished success 1.1.0", "complete success 1.1.0", "complete rebooted 1.1.0")
}

type deaf struct{ Server }

func (deaf) Report(context.Context, []omaha.EventRequest) error {
	return errors.New("no route to host")
}

func TestBundle(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	var bundle bytes.Buffer
	w.must(repository.Open(w.repo).WriteBundle(context.Background(), &bundle, board, "1.1.0", repository.BundleFormat))
	path := filepath.Join(w.dir, "update.bundle")
	w.must(os.WriteFile(path, bundle.Bytes(), 0o644))
	w.http.Close()
	w.config.Server = ""
	d := w.machine()
	w.must(d.ApplyBundle(context.Background(), path))
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	d = w.boot(true)
	w.settle(d)
	if w.config.Version != "1.1.0" {
		t.Errorf("version %s runs", w.config.Version)
	}
	if err := d.ApplyBundle(context.Background(), "update.bundle"); err == nil {
		t.Error("a relative path was taken")
	}
	if err := d.ApplyBundle(context.Background(), w.root); !errors.Is(err, repository.ErrBundle) {
		t.Errorf("error %v", err)
	}
}

// The daemon asks by itself, and at once when it is woken.
func TestRun(t *testing.T) {
	w := newWorld(t)
	d := w.machine()
	changes := make(chan status.Status, 1000)
	d.notify = func(s status.Status) { changes <- s }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	wait := func(operation status.Operation) {
		t.Helper()
		timeout := time.After(time.Minute)
		for {
			select {
			case s := <-changes:
				if s.Operation == operation {
					return
				}
			case <-timeout:
				t.Fatalf("no %s", operation)
			}
		}
	}
	wait(status.Checking)
	wait(status.Idle)
	w.publish("1.1.0", "")
	d.Wake()
	wait(status.NeedReboot)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDamagedState(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "{", `{"pending": 7}`, strings.Repeat(" ", maxState+1)} {
		if err := os.WriteFile(statePath(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readState(dir); err == nil || s == nil || s.Pending != nil || s.Failed == nil {
			t.Errorf("%.20q: %+v, %v", text, s, err)
		}
	}
}

func TestOutcome(t *testing.T) {
	pending := &Pending{Version: "2", From: "1", Slot: slot.B}
	for name, test := range map[string]struct {
		running, other slot.Report
		want           outcome
	}{
		"not restarted":  {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B, Next: true, Tries: 3}, open},
		"on trial":       {slot.Report{Slot: slot.B, Version: "2"}, slot.Report{Slot: slot.A}, open},
		"proven":         {slot.Report{Slot: slot.B, Version: "2", OK: true}, slot.Report{Slot: slot.A}, succeeded},
		"out of tries":   {slot.Report{Slot: slot.A, OK: true}, slot.Report{Slot: slot.B}, rolledBack},
		"chosen by hand": {slot.Report{Slot: slot.A, OK: true, Next: true}, slot.Report{Slot: slot.B, Tries: 2}, rolledBack},
	} {
		if got := outcomeOf(pending, test.running, test.other); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestPrepareReboot(t *testing.T) {
	for _, test := range []struct{ kexec, locked, pending, want bool }{
		{true, false, true, true},
		{true, true, true, false},
		{false, false, true, false},
		{true, false, false, false},
	} {
		w := newWorld(t)
		w.locked, w.config.Kexec = test.locked, test.kexec
		if test.pending {
			w.publish("1.1.0", "")
		}
		d := w.machine()
		_, err := d.Attempt(context.Background(), false)
		w.must(err)
		got, err := d.PrepareReboot()
		w.must(err)
		if got != test.want || (w.loads == 1) != test.want {
			t.Errorf("%+v: got %v, %d kernels loaded", test, got, w.loads)
		}
	}
}

// A file that makes no sense is a state that can be looked at, not a daemon that dies.
func TestWrongConfiguration(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	w.extra = "INTERVAL=never\n"
	d := w.machine()
	for range 2 {
		if _, err := d.Attempt(context.Background(), false); !errors.Is(err, config.ErrLocal) {
			t.Errorf("error %v", err)
		}
	}
	if got := d.Status().LastError; !strings.Contains(got, "INTERVAL") {
		t.Errorf("the status says %q", got)
	}
	w.wantOperation(d, status.Idle, "")
	w.extra = ""
	d = w.machine()
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
}
