package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaiting has an attempt fail every second, for another reason from the 40th second on.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
		defer stop()
		var said []string
		notify := Waiting(ctx, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }, "etcd")
		for i := range 130 {
			time.Sleep(time.Second)
			if i < 39 {
				notify(errors.New("no leader"), 0)
			} else {
				notify(errors.New("no vote"), 0)
			}
		}
		want := []string{
			"waiting for etcd, for at most 9m30s: no leader",
			"waiting for etcd, for at most 9m0s: no vote",
			"waiting for etcd, for at most 8m0s: no vote",
		}
		if !slices.Equal(said, want) {
			t.Errorf("said %q", said)
		}
	})
}
