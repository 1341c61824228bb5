package warning

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRepeated(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		var r Repeated
		count := func(what string, full, away int) {
			t.Helper()
			if strings.Count(log.String(), "error=full") != full || strings.Count(log.String(), "error=away") != away {
				t.Errorf("%s: want %d and %d:\n%s", what, full, away, &log)
			}
		}
		for range 150 {
			r.Warn("it failed", errors.New("full"), "every", time.Second)
			time.Sleep(time.Second)
		}
		count("150 s", 3, 0)
		r.Warn("it failed", errors.New("away"))
		count("another error", 3, 1)
		r.Over()
		r.Warn("it failed", errors.New("away"))
		count("after a success", 3, 2)
	})
}
