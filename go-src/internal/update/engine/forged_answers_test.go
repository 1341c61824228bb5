package engine

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"coreos/internal/update/download"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
)

// forgedAnswers are answers of a web server that is not honest.
var forgedAnswers = []forgery{
	// Endless, cut off, and elsewhere.
	{"metadata without end", func(f forger) { f.answers("3.snapshot.json", endless) }, download.ErrTooLong, ""},
	{"metadata that breaks off", func(f forger) { f.answers("3.targets.json", shorter) }, io.ErrUnexpectedEOF, ""},
	{"metadata as a bomb", func(f forger) { f.answers("3.targets.json", bomb) }, repository.ErrMalformed, ""},
	{"a manifest without end", func(f forger) { f.answers("1.2.0/", endless) }, download.ErrTooLong, ""},
	{"metadata that trickles", func(f forger) {
		f.stall = 100 * time.Millisecond
		f.answers("timestamp.json", trickle)
	}, download.ErrStalled, ""},
	{"metadata that never comes", func(f forger) {
		f.stall = 100 * time.Millisecond
		f.answers("3.snapshot.json", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}, download.ErrStalled, ""},
	{"a redirect to a file", func(f forger) { f.redirect("timestamp.json", "file:///etc/passwd") }, download.ErrRedirect, ""},
	{"a redirect in a circle", func(f forger) { f.redirect("timestamp.json", "/repo/metadata/timestamp.json") }, download.ErrRedirect, ""},
	{"a redirect to metadata", func(f forger) { f.redirect("timestamp.json", "http://169.254.169.254/latest/user-data") }, download.ErrRedirect, ""},
	{"a redirect to nothing", func(f forger) { f.redirect("timestamp.json", "http://") }, download.ErrRedirect, ""},
	{"ranges that nobody asked for", func(f forger) {
		f.answers("boot.zst", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-0")
			http.ServeFile(w, r, filepath.Join(f.repo, board, "1.2.0/boot.zst"))
		})
	}, download.ErrRange, ""},

	// Bombs in each compressed part, and bytes of another release.
	{"a bomb in the boot image", func(f forger) { f.overlay("boot.zst", 0, bombFrame()) }, slotwriter.ErrWrongBytes, ""},
	{"a bomb in the stream of /usr", func(f forger) {
		f.answers("usr.zst", http.NotFound)
		f.overlay("usr.whole.zst", wholeHeader(f), bombFrame())
	}, slotwriter.ErrWrongBytes, ""},
	{"a bomb in the parts of /usr", func(f forger) {
		f.answers("usr.whole.zst", http.NotFound)
		f.overlay("usr.zst", 0, bytes.Repeat(bombFrame(), 10))
	}, slotwriter.ErrWrongBytes, ""},
	{"a hash tree of another release", func(f forger) {
		text, err := os.ReadFile(filepath.Join(f.repo, board, "1.1.0/usr.verity"))
		f.must(err)
		f.overlay("usr.verity", 0, text)
	}, slotwriter.ErrWrongBytes, ""},
}

// text answers with a text.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// shorter promises more than it sends.
func shorter(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"signed"`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// trickle sends a byte now and then.
func trickle(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
		}
	}
}
