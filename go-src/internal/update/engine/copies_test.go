package engine

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"coreos/internal/update/omaha"
)

// A server that names thousands of copies of a repository, none of which is there, does
// not keep the machine busy.
func TestManyCopies(t *testing.T) {
	for name, test := range map[string]struct {
		copies  int
		address string
		want    string
	}{
		"more than a message may have": {20_000, "http:0", omaha.ErrElements.Error()},
		"more than are tried":          {500, "http://127.0.0.1:1/", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("1.1.0", "")
			w.omaha.Offer("1.1.0", slices.Repeat([]string{test.address}, test.copies)...)
			start := time.Now()
			_, err := w.machine().Attempt(context.Background(), true)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %.300v", err)
			}
			if n := strings.Count(err.Error(), "connection refused"); n > maxURLs {
				t.Errorf("%d copies were tried", n)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
