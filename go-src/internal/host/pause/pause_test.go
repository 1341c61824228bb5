package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/host/pause"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		wait, ends, took time.Duration
		lives            bool
	}{
		{time.Second, time.Minute, time.Second, true},
		{time.Minute, time.Second, time.Second, false},
		{0, time.Second, 0, true},
		{0, 0, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(context.Background(), c.ends)
			defer stop()
			begin := time.Now()
			if lives := pause.For(ctx, c.wait); lives != c.lives || time.Since(begin) != c.took {
				t.Errorf("%+v: %v after %s", c, lives, time.Since(begin))
			}
		})
	}
}
