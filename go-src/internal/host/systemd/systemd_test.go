package systemd

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	godbus "github.com/godbus/dbus/v5"
)

// call is a systemd whose jobs end with a result after a time.
func call(t *testing.T, result string, after time.Duration) Call {
	return func(_ context.Context, unit, mode string, to chan<- string) (int, error) {
		if unit != "a.service" || mode != "replace" {
			t.Errorf("unit %q, mode %q", unit, mode)
		}
		time.AfterFunc(after, func() { to <- result })
		return 7, nil
	}
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		result string
		after  time.Duration
		want   error
	}{
		{"done", 0, nil},
		{"done", 59 * time.Second, nil},
		{"failed", time.Second, ResultError("failed")},
		{"skipped", time.Second, ResultError("skipped")},
		{"done", 2 * time.Minute, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			begin := time.Now()
			err := Run(ctx, call(t, test.result, test.after), "a.service")
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%+v: error %v", test, err)
			}
			if took := time.Since(begin); took != min(test.after, time.Minute) {
				t.Errorf("%+v: took %s", test, took)
			}
		})
	}
}

func TestRunNotEnqueued(t *testing.T) {
	refused := errors.New("refused")
	err := Run(t.Context(), func(context.Context, string, string, chan<- string) (int, error) { return 0, refused }, "a.service")
	if !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
}

// TestUnawaited leaves a job alone: its result must not block the connection.
func TestUnawaited(t *testing.T) {
	var to chan<- string
	if _, err := Enqueue(t.Context(), func(_ context.Context, _, _ string, result chan<- string) (int, error) {
		to = result
		return 0, nil
	}, "a.service"); err != nil {
		t.Fatal(err)
	}
	select {
	case to <- "done":
	default:
		t.Error("nobody takes the result, so that no other is delivered")
	}
}

func TestIsNoSuchUnit(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{godbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit"}, true},
		{fmt.Errorf("stop: %w", godbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit"}), true},
		{godbus.Error{Name: "org.freedesktop.systemd1.UnitMasked"}, false},
		{errors.New("NoSuchUnit"), false},
		{nil, false},
	} {
		if got := IsNoSuchUnit(test.err); got != test.want {
			t.Errorf("%v: got %v", test.err, got)
		}
	}
}
