package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/slot"
	"coreos/internal/update/download"
	"coreos/internal/update/omaha"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
	"coreos/internal/update/status"
)

// answers replaces what the world's server sends for paths that contain a word.
func (w *world) answers(word string, handler http.HandlerFunc) {
	next := w.http.Config.Handler
	w.http.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, word) {
			handler(rw, r)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// onlyWhole leaves machines no way but the whole stream, which a handler sends.
func (w *world) onlyWhole(handler http.HandlerFunc) {
	w.answers("usr.zst", http.NotFound)
	w.answers("usr.whole.zst", handler)
}

func endless(w http.ResponseWriter, _ *http.Request) {
	b := make([]byte, 64<<10)
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// packed is small on the wire and large unpacked.
var packed = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 16<<20))
	_ = w.Close()
	return b.Bytes()
})

func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(packed())
}

// breakOff promises a part and closes in its middle.
func breakOff(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Range", strings.Replace(r.Header.Get("Range"), "=", " ", 1)+"/999999")
	w.WriteHeader(http.StatusPartialContent)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// TestAttacks lets a server, or somebody between it and the machine, attack the machine. In
// each case the status names the reason, and the running slot stays the next one.
func TestAttacks(t *testing.T) {
	loop := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }
	for name, test := range map[string]struct {
		attack func(*world)
		want   error
	}{
		"the server says nonsense":        {func(w *world) { w.answers("/v1/update/", text("<html>")) }, omaha.ErrProtocol},
		"the server says other XML":       {func(w *world) { w.answers("/v1/update/", text("<x/>")) }, omaha.ErrProtocol},
		"the server never ends":           {func(w *world) { w.answers("/v1/update/", endless) }, omaha.ErrProtocol},
		"the server sends a bomb":         {func(w *world) { w.answers("/v1/update/", bomb) }, omaha.ErrProtocol},
		"the server redirects in circles": {func(w *world) { w.answers("/v1/update/", loop) }, download.ErrRedirect},
		"an offer of a path":              {func(w *world) { w.omaha.Offer("../../etc", w.http.URL+"/repo/") }, omaha.ErrProtocol},
		"an offer from a file":            {func(w *world) { w.omaha.Offer("1.1.0", "file:///etc/") }, omaha.ErrProtocol},
		"an offer from the metadata":      {func(w *world) { w.omaha.Offer("1.1.0", "http://169.254.169.254/") }, omaha.ErrProtocol},
		"an offer from nowhere":           {func(w *world) { w.omaha.Offer("1.1.0") }, omaha.ErrProtocol},
		"the server is gone":              {func(w *world) { w.answers("/v1/update/", http.NotFound) }, nil},
		"metadata without end":            {func(w *world) { w.answers("metadata/timestamp.json", endless) }, download.ErrTooLong},
		"metadata is a bomb":              {func(w *world) { w.answers("metadata/timestamp.json", bomb) }, nil},
		"metadata in circles":             {func(w *world) { w.answers("metadata/timestamp.json", loop) }, download.ErrRedirect},
		"metadata of somebody else":       {func(w *world) { w.root = newWorld(w.t).root }, repository.ErrWrongKey},
		"an old state":                    {(*world).replay, repository.ErrOlder},
		"a repository that is frozen":     {func(w *world) { w.publishAgo(15 * 24 * time.Hour) }, repository.ErrExpired},
		"releases nobody signs again":     {(*world).unsigned, repository.ErrExpired},
		"no room for what was seen":       {(*world).fillDisk, unix.ENOSPC},
		"the manifest of another release": {func(w *world) { w.answers("1.1.0/", text("{}")) }, repository.ErrMixed},
		"a payload without end":           {func(w *world) { w.answers("usr.zst", endless) }, nil},
		"a payload that breaks off":       {func(w *world) { w.answers("usr.zst", breakOff) }, io.ErrUnexpectedEOF},
		"a payload in circles":            {func(w *world) { w.answers("usr.zst", loop) }, download.ErrRedirect},
		"neither payload nor stream":      {func(w *world) { w.onlyWhole(http.NotFound) }, fs.ErrNotExist},
		"a stream without end":            {func(w *world) { w.onlyWhole(endless) }, nil},
		"a stream that is a bomb":         {func(w *world) { w.onlyWhole(bomb) }, slotwriter.ErrWrongBytes},
		"a stream that breaks off":        {func(w *world) { w.onlyWhole(breakOff) }, io.ErrUnexpectedEOF},
		"a changed hash tree":             {func(w *world) { w.spoil("usr.verity") }, slotwriter.ErrWrongBytes},
		"of another board":                {func(w *world) { w.config.Board = "arm64-usr" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.patches = 0
			w.publish("1.1.0", "")
			test.attack(w)
			d := w.machine()
			_, err := d.Attempt(context.Background(), true)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			t.Log(err)
			w.wantOperation(d, status.Idle, "")
			if got := d.Status().LastError; got != err.Error() {
				t.Errorf("the status says %q", got)
			}
			if reports, err := w.Slots(); err != nil || !reports[0].Next || reports[1].Tries != 0 || w.running != slot.A {
				t.Errorf("slot A alone should be bootable: %+v, %v", reports, err)
			}
		})
	}
}

// TestPatchAttacks spoils the shorter way: the longer one is taken.
func TestPatchAttacks(t *testing.T) {
	for name, attack := range map[string]http.HandlerFunc{
		"without end": endless,
		"breaks off":  breakOff,
		"not there":   http.NotFound,
		"in circles":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"other bytes": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, 1<<20)))
		},
		"a whole bomb": bomb,
		"frames that are bombs": func(w http.ResponseWriter, r *http.Request) {
			// The first segment is at byte 0 of the older content, and its frame is all that follows.
			header := []byte{0, 0, 0, 0, 0, 0, 0, 0}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(append(header, bytes.Repeat(bombFrame(), 3)...)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish("1.1.0", "")
			asked := false
			w.answers(".patch", func(rw http.ResponseWriter, r *http.Request) {
				asked = true
				attack(rw, r)
			})
			d := w.machine()
			_, err := d.Attempt(context.Background(), true)
			w.must(err)
			w.wantOperation(d, status.NeedReboot, "1.1.0")
			if !asked {
				t.Error("nobody asked for the patch")
			}
		})
	}
}

// publishAgo publishes a version with signatures of that age.
func (w *world) publishAgo(age time.Duration) {
	w.signed = time.Now().Add(-age)
	w.publish("1.2.0", "")
}

// unsigned has releases whose signatures have expired in a repository that is kept.
func (w *world) unsigned() {
	w.publishAgo(400 * 24 * time.Hour)
	w.must(repository.Open(w.repo).Publish(w.key("online")))
}

// TestFullDisk has a machine whose disk is full: nothing is asked or written, the status says
// how much room is missing, and with room the update goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("1.1.0", "")
	w.fillDisk()
	d := w.machine()
	_, err := d.Attempt(context.Background(), true)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "8192 KiB of disk space are missing") || d.Status().LastError != err.Error() {
		t.Errorf("attempt: %v, status %q", err, d.Status().LastError)
	}
	if err := d.ApplyBundle(context.Background(), "/missing.bundle"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("bundle: %v", err)
	}
	if events := w.omaha.Events(); len(events) != 0 {
		t.Errorf("the server got events: %v", events)
	}
	state := filepath.Join(w.dir, "state")
	w.must(unix.Mount("tmpfs", state, "tmpfs", unix.MS_REMOUNT, "size=32m"))
	_, err = d.Attempt(context.Background(), true)
	w.must(err)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
}

// fillDisk leaves the engine's directory without room.
func (w *world) fillDisk() {
	state := filepath.Join(w.dir, "state")
	w.must(os.MkdirAll(state, 0o700))
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=4k"); err != nil {
		w.t.Skipf("a full disk needs root: %v", err)
	}
	w.t.Cleanup(func() { w.must(unix.Unmount(state, 0)) })
	w.must(os.WriteFile(filepath.Join(state, "full"), make([]byte, 4096), 0o600))
}

// replay serves an older state of the repository than the machine has seen.
func (w *world) replay() {
	old := filepath.Join(w.t.TempDir(), "old")
	w.must(os.CopyFS(old, os.DirFS(w.repo)))
	w.publish("1.2.0", "1.1.0")
	if _, err := w.machine().Attempt(context.Background(), true); !errors.Is(err, ErrTooOld) {
		w.t.Fatal(err)
	}
	w.offer("1.1.0")
	w.answers("/repo/", http.StripPrefix("/repo/", http.FileServer(http.Dir(old))).ServeHTTP)
}
