package semaphore

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUpstreamDocument(t *testing.T) {
	s := New()
	if got, want := s.String(), `{"semaphore":1,"max":1,"holders":[]}`; got != want {
		t.Errorf("new: %s, want %s", got, want)
	}
	s, err := Parse([]byte(`{"semaphore": 1, "max": 3, "holders": ["foo", "bar"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.String(), `{"semaphore":1,"max":3,"holders":["bar","foo"]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "asdf", `{"semaphore":`, `[]`, `{"holders":"a"}`, `{"holders":[""]}`, strings.Repeat(" ", maxDocument+1)} {
		if s, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.20q: %s", text, s)
		}
	}
}

func TestParseTrustsTheHolders(t *testing.T) {
	s, err := Parse([]byte(`{"semaphore": 89, "max": 1, "holders": ["b","a","b"], "details": {"gone": {"why": "update"}, "a": {"why": "lock"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Free != -1 || !slices.Equal(s.Holders, []string{"a", "b"}) || len(s.Details) != 1 {
		t.Errorf("%s", s)
	}
}

func TestLock(t *testing.T) {
	s := New()
	first := Holder{Why: Update, To: "2.0.0", BootID: "boot1", Since: time.Unix(1000, 0).UTC()}
	if err := s.Lock("b", first); err != nil {
		t.Fatal(err)
	}
	var full *FullError
	if err := s.Lock("a", first); !errors.As(err, &full) || full.Error() != "held by b" {
		t.Errorf("second holder: %v", err)
	}
	// The answer to the first attempt was lost, and a newer version came.
	if err := s.Lock("b", Holder{Why: Update, To: "3.0.0", Since: time.Unix(2000, 0)}); err != nil {
		t.Errorf("lock again: %v", err)
	}
	if h, held := s.Holds("b"); !held || h.To != "3.0.0" || !h.Since.Equal(first.Since) || s.Free != 0 {
		t.Errorf("%s", s)
	}
	if _, err := s.SetMax(2); err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("a", Holder{}); err != nil || !slices.Equal(s.Holders, []string{"a", "b"}) {
		t.Errorf("%v, %s", err, s)
	}
	if err := s.Unlock("c"); !errors.Is(err, ErrNotExist) {
		t.Errorf("unlock of another: %v", err)
	}
	if err := s.Unlock("b"); err != nil || s.Free != 1 || len(s.Details) != 1 {
		t.Errorf("%v, %s", err, s)
	}
	if err := s.Lock("", Holder{}); err == nil {
		t.Error("a holder without a name")
	}
}

func TestFailedReleaseGoesNoFurther(t *testing.T) {
	s := New()
	_, _ = s.SetMax(3)
	_ = s.Lock("a", Holder{Host: "node1", To: "2.0.0"})
	_ = s.Lock("b", Holder{To: "2.0.0"})
	if err := s.Fail("a", "unhealthy:90-shop"); err != nil {
		t.Fatal(err)
	}
	var stopped *StoppedError
	if err := s.Lock("c", Holder{To: "2.0.0"}); !errors.As(err, &stopped) || !strings.Contains(err.Error(), "version 2.0.0 failed on node1 (a): unhealthy:90-shop") {
		t.Errorf("the same version: %v", err)
	}
	if err := s.Lock("b", Holder{To: "2.0.0"}); !errors.As(err, &stopped) {
		t.Errorf("a holder that has not restarted yet: %v", err)
	}
	if err := s.Lock("c", Holder{To: "2.0.1"}); err != nil {
		t.Errorf("the next version: %v", err)
	}
	// The machine itself tries again if a person asks it to, or a newer version comes.
	if err := s.Lock("a", Holder{To: "2.0.1"}); err != nil {
		t.Errorf("the failed machine: %v", err)
	}
	if err := s.Lock("c", Holder{To: "2.0.0"}); !errors.As(err, &stopped) {
		t.Errorf("the failed version, while a newer one is tried: %v", err)
	}
	if err := s.Lock("a", Holder{To: "2.0.0"}); err != nil {
		t.Errorf("the failed machine, with the failed version: %v", err)
	}
	if h, _ := s.Holds("a"); h.Failed != "" {
		t.Errorf("%s", s)
	}
	if err := s.Fail("x", "?"); !errors.Is(err, ErrNotExist) {
		t.Errorf("fail of another: %v", err)
	}
}

func TestSetMax(t *testing.T) {
	s := New()
	_ = s.Lock("a", Holder{})
	for _, limit := range []int{3, 2, 1, 0, 1, 2, 3} {
		old := s.Max
		if was, err := s.SetMax(limit); err != nil || was != old || s.Free != limit-1 {
			t.Errorf("%d: %v, %s", limit, err, s)
		}
	}
	if _, err := s.SetMax(-1); err == nil || s.Max != 3 {
		t.Errorf("-1: %v, %s", err, s)
	}
	_ = s.Unlock("a")
	_, _ = s.SetMax(0)
	if err := s.Lock("a", Holder{}); err == nil || !strings.Contains(err.Error(), "maximum is 0") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"semaphore":0,"max":1,"holders":["a"],"details":{"a":{"since":"2026-01-02T03:04:05Z","version":"1.2.3"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if s.Free != s.Max-len(s.Holders) || !slices.IsSorted(s.Holders) {
			t.Fatalf("%s", s)
		}
		again, err := Parse([]byte(s.String()))
		if err != nil || again.String() != s.String() {
			t.Fatalf("%v: %s, then %s", err, s, again)
		}
	})
}
