package datasource

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is a source that does one thing after the other, the last for ever.
type script struct {
	name  string
	steps []step
	asked int
}

// step is an answer after some time.
type step struct {
	after time.Duration
	err   error
}

func (s *script) Name() string { return s.name }

func (s *script) Fetch(ctx context.Context) (*Data, error) {
	now := s.steps[min(s.asked, len(s.steps)-1)]
	s.asked++
	select {
	case <-time.After(now.after):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if now.err != nil {
		return nil, now.err
	}
	return &Data{Source: s.name}, nil
}

const forever = 24 * time.Hour

var (
	errDown = errors.New("connection refused")
	down    = step{0, errDown}
	absent  = step{0, ErrAbsent}
	invalid = step{0, ErrInvalid}
	here    = step{}
)

// Time in these tests is not real: they take none.
func TestSelect(t *testing.T) {
	tests := map[string]struct {
		sources  [][]step
		want     string // the name of the source
		wantErr  error
		min, max time.Duration
	}{
		"the first of two":                   {[][]step{{here}, {here}}, "a", nil, 0, 0},
		"absent ones do not hold":            {[][]step{{absent}, {here}}, "b", nil, 0, 0},
		"nor do invalid ones":                {[][]step{{invalid}, {here}}, "b", nil, 0, 0},
		"nor those that come after":          {[][]step{{here}, {{forever, nil}}}, "a", nil, 0, 0},
		"a slow first within the grace time": {[][]step{{{9 * time.Second, nil}}, {here}}, "a", nil, 9 * time.Second, 9 * time.Second},
		"a slow first after the grace time":  {[][]step{{{11 * time.Second, nil}}, {here}}, "b", nil, 10 * time.Second, 10 * time.Second},
		"a first that is down holds so long": {[][]step{{down}, {here}}, "b", nil, 10 * time.Second, 10 * time.Second},
		"the grace time begins with answers": {[][]step{{down}, {{time.Minute, nil}}}, "b", nil, 70 * time.Second, 70 * time.Second},
		"the earlier of two in time":         {[][]step{{down}, {{5 * time.Second, nil}}, {here}}, "b", nil, 10 * time.Second, 10 * time.Second},
		"a first that comes up in time":      {[][]step{{down, down, here}, {here}}, "a", nil, time.Millisecond, time.Second},
		"one that comes up late":             {[][]step{{down, down, down, down, down, down, down, down, down, here}}, "a", nil, 20 * time.Second, 2 * time.Minute},
		"one that turns out to be absent":    {[][]step{{down, absent}, {{forever, nil}}, {here}}, "c", nil, 10 * time.Second, 10 * time.Second},
		"all absent":                         {[][]step{{absent}, {absent}}, "", ErrAbsent, 0, 0},
		"all absent or invalid":              {[][]step{{absent}, {invalid}}, "", ErrInvalid, 0, 0},
		"one down":                           {[][]step{{absent}, {down}}, "", errDown, 5 * time.Minute, 5 * time.Minute},
		"one that never answers":             {[][]step{{{forever, nil}}}, "", nil, 5 * time.Minute, 5 * time.Minute},
		"no grace beyond the wait":           {[][]step{{down}, {{295 * time.Second, nil}}}, "b", nil, 5 * time.Minute, 5 * time.Minute},
		"none at all":                        {nil, "", nil, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sources []Source
				for i, steps := range test.sources {
					sources = append(sources, &script{name: string(rune('a' + i)), steps: steps})
				}
				start := time.Now()
				got, err := Select(t.Context(), Options{}, sources...)
				if took := time.Since(start); took < test.min || took > test.max {
					t.Errorf("took %v, want %v to %v", took, test.min, test.max)
				}
				if test.want != "" && (err != nil || got.Source != test.want) {
					t.Errorf("got %+v, error %v, want %s", got, err, test.want)
				}
				if test.want == "" && (err == nil || test.wantErr != nil && !errors.Is(err, test.wantErr)) {
					t.Errorf("got %+v, error %v, want %v", got, err, test.wantErr)
				}
			})
		})
	}
}

func TestSelectSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []string
		report := func(s Source, err error) { reports = append(reports, s.Name()+" "+err.Error()) }
		_, err := Select(t.Context(), Options{Wait: time.Minute, Report: report},
			&script{name: "one", steps: []step{absent}},
			fake(nil, errDown),
			&script{name: "three", steps: []step{{forever, nil}}},
		)
		if err == nil || errors.Is(err, ErrAbsent) {
			t.Errorf("error %v, and not all are absent", err)
		}
		for _, want := range []string{ErrAbsent.Error(), "fake: connection refused", "three: no answer within 1m0s"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
		}
		// A reason that does not change is reported once.
		if len(reports) != 2 {
			t.Errorf("reports %q", reports)
		}
	})
}

func TestSelectIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := Select(ctx, Options{}, &script{name: "one", steps: []step{{forever, nil}}})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}
