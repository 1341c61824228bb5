package booted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"coreos/internal/boot/grubenv"
	"coreos/internal/boot/health"
	"coreos/internal/boot/slot"
	"coreos/internal/host/room"
	"coreos/internal/host/rundir"
)

// store is an environment block in memory.
type store struct{ env grubenv.Env }

func (s *store) Read() (grubenv.Env, error) { return maps.Clone(s.env), nil }

func (s *store) Write(env grubenv.Env) error {
	s.env = maps.Clone(env)
	return nil
}

var (
	slow   = health.Result{Name: "20-slow", Err: fmt.Errorf("%w within 2m0s", rundir.ErrLimit)}
	broken = health.Result{Name: "10-broken", Err: errors.New("exit status 1")}
)

// TestMark has checks that have a result for each run; the last one stays.
func TestMark(t *testing.T) {
	for name, test := range map[string]struct {
		proven, other bool // whether the slots are
		runs          [][]health.Result
		ran           int // 0: until the deadline
		restarts      int
		good          bool
		why           string
	}{
		"healthy":                         {false, true, [][]health.Result{{}}, 1, 0, true, ""},
		"slow, then healthy":              {false, true, [][]health.Result{{slow}, {slow}, {}}, 3, 0, true, ""},
		"slow, alone, then healthy":       {false, false, [][]health.Result{{slow}, {}}, 2, 0, true, ""},
		"broken, alone, then healthy":     {false, false, [][]health.Result{{broken}, {broken, slow}, {}}, 3, 0, true, ""},
		"broken":                          {false, true, [][]health.Result{{broken}}, 1, 1, false, "unhealthy:10-broken"},
		"slow, then broken":               {false, true, [][]health.Result{{slow}, {broken, slow}}, 2, 1, false, "unhealthy:10-broken,20-slow"},
		"slow for ever":                   {false, true, [][]health.Result{{slow}}, 0, 1, false, "unhealthy:20-slow"},
		"broken for ever, alone":          {false, false, [][]health.Result{{broken}}, 0, 0, false, "unhealthy:10-broken"},
		"proven, and broken":              {true, true, [][]health.Result{{broken}}, 1, 0, true, "unhealthy:10-broken"},
		"proven and slow, then healthy":   {true, true, [][]health.Result{{slow}, {}}, 2, 0, true, ""},
		"proven, and slow for ever":       {true, true, [][]health.Result{{slow}}, 0, 0, true, "unhealthy:20-slow"},
		"broken, alone, proven by hand":   {true, false, [][]health.Result{{broken}}, 1, 0, true, "unhealthy:10-broken"},
		"more than one check is too slow": {false, true, [][]health.Result{{slow, slow}, {}}, 2, 0, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			flag := map[bool]string{true: "1", false: "0"}
			s := &store{grubenv.Env{"ORDER": "A B", "A_TRIES": "2", "A_OK": flag[test.proven], "A_WHY": "", "B_TRIES": "3", "B_OK": flag[test.other], "B_WHY": ""}}
			var out, problems bytes.Buffer
			ran, restarts := 0, 0
			j := &judge{
				running: slot.A, pause: time.Millisecond, out: &out, problems: &problems,
				change: func(f func(slot.Store) error) error { return f(s) },
				checks: func(context.Context) ([]health.Result, error) {
					ran++
					return test.runs[min(ran, len(test.runs))-1], nil
				},
				restart: func() error { restarts++; return nil },
				full:    func() error { return nil },
			}
			err := j.mark(t.Context(), time.Now().Add(100*time.Millisecond))
			if test.ran == 0 && ran < 3 || test.ran != 0 && ran != test.ran {
				t.Errorf("the checks ran %d times, want %d", ran, test.ran)
			}
			failed := test.why != "" && test.restarts == 0
			if restarts != test.restarts || errors.Is(err, ErrUnhealthy) != failed || (err != nil) != failed {
				t.Errorf("%d restarts, %v", restarts, err)
			}
			states, err := slot.Load(s)
			if got := states.Slots[slot.A]; err != nil || got.OK != test.good || got.Why != test.why {
				t.Errorf("slot A is %+v, %v", got, err)
			}
			if n := strings.Count(problems.String(), "failed: "); (n > 0) != (len(test.runs[0]) > 0) {
				t.Errorf("problems: %s", problems.String())
			}
		})
	}
}

func TestMarkIsCancelled(t *testing.T) {
	s := &store{grubenv.Env{"ORDER": "A B", "A_TRIES": "2", "A_OK": "0", "A_WHY": "", "B_TRIES": "3", "B_OK": "1", "B_WHY": ""}}
	ctx, cancel := context.WithCancel(t.Context())
	j := &judge{
		running: slot.A, pause: time.Hour, out: new(bytes.Buffer), problems: new(bytes.Buffer),
		change: func(f func(slot.Store) error) error { return f(s) },
		checks: func(context.Context) ([]health.Result, error) { cancel(); return []health.Result{slow}, nil },
		full:   func() error { return nil },
	}
	if err := j.mark(ctx, time.Now().Add(2*time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestFullDisk has a slot on trial, and a proven one to go back to, on a machine without room.
func TestFullDisk(t *testing.T) {
	s := &store{grubenv.Env{"ORDER": "A B", "A_TRIES": "2", "A_OK": "0", "A_WHY": "", "B_TRIES": "3", "B_OK": "1", "B_WHY": ""}}
	var out, problems bytes.Buffer
	var full error = &room.Error{Path: "/", Need: 4096}
	j := &judge{
		running: slot.A, pause: time.Millisecond, out: &out, problems: &problems,
		change:  func(f func(slot.Store) error) error { return f(s) },
		checks:  func(context.Context) ([]health.Result, error) { return []health.Result{broken}, nil },
		restart: func() error { t.Error("it restarts"); return nil },
		full:    func() error { return full },
	}
	if err := j.mark(t.Context(), time.Now().Add(20*time.Millisecond)); !errors.Is(err, ErrUnhealthy) {
		t.Errorf("got %v", err)
	}
	states, err := slot.Load(s)
	if got := states.Slots[slot.A]; err != nil || got.Why != "unhealthy:disk-full,10-broken" || got.Tries != 3 {
		t.Errorf("slot A is %+v, %v", got, err)
	}
	if !strings.Contains(problems.String(), full.Error()) || !strings.Contains(problems.String(), "10-broken failed") {
		t.Errorf("problems: %s", problems.String())
	}

	full = errors.New("/var is read-only")
	if err := j.mark(t.Context(), time.Now().Add(20*time.Millisecond)); !errors.Is(err, ErrUnhealthy) {
		t.Errorf("got %v", err)
	}
	if states, err := slot.Load(s); err != nil || states.Slots[slot.A].Why != "unhealthy:disk-read-only,10-broken" {
		t.Errorf("read-only: %+v, %v", states.Slots[slot.A], err)
	}

	// There is room again.
	passes := false
	j.checks = func(context.Context) ([]health.Result, error) {
		if passes {
			return nil, nil
		}
		passes = true
		return []health.Result{broken}, nil
	}
	if err := j.mark(t.Context(), time.Now().Add(time.Minute)); err != nil {
		t.Errorf("got %v", err)
	}
	if states, err = slot.Load(s); err != nil || !states.Slots[slot.A].OK {
		t.Errorf("slot A is %+v, %v", states.Slots[slot.A], err)
	}
}
