package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/fleet/agent"
	"coreos/internal/fleet/guard"
)

// systemd has units. Its first attempts to stop one fail.
type systemd struct {
	agent.Systemd
	mu      sync.Mutex
	stopped []string
	fails   int
}

func (s *systemd) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stopped)
}

func (s *systemd) Units(context.Context) (map[string]agent.Found, error) {
	all := map[string]agent.Found{}
	for name, text := range map[string]string{
		"web.service": "[Service]\nExecStart=/bin/true\n", "damaged.service": "[", "loaded.service": "",
		"global.service": "[X-Fleet]\nGlobal=true\n", "bound.service": "[X-Fleet]\nMachineID=a\n",
	} {
		all[name] = agent.Found{Text: text, Launched: name != "loaded.service" && !slices.Contains(s.all(), name)}
	}
	return all, nil
}

func (s *systemd) Stop(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "web.service" && s.fails > 0 {
		s.fails--
		return errors.New("it is ill")
	}
	if name == "web.service" { // the only one that the test counts
		s.stopped = append(s.stopped, name)
	}
	return nil
}

func TestGuard(t *testing.T) {
	const ttl = 30 * time.Second
	for name, c := range map[string]struct {
		lease string                                // when the guard begins
		then  func(write func(until time.Duration)) // what the daemon does
		fails int
		keep  bool
		after time.Duration // when the unit is stopped; 0 is never
	}{
		"no lease":              {},
		"a damaged one":         {lease: "x"},
		"the daemon is gone":    {lease: "1 30000000000", after: ttl + time.Second},
		"it renews for an hour": {lease: "1 30000000000", then: renew(time.Hour), after: time.Hour + 21*time.Second},
		"a lease comes later":   {then: renew(0), after: 31 * time.Second},
		"units are kept":        {lease: "1 30000000000", keep: true},
		"systemd fails twice":   {lease: "1 30000000000", fails: 2, after: ttl + 21*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, file := time.Now(), filepath.Join(t.TempDir(), "lease")
				now := func() time.Duration { return time.Since(begin) }
				changed := make(chan struct{})
				write := func(text string) {
					if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
						t.Error(err)
					}
				}
				if c.lease != "" {
					write(c.lease)
				}
				s := &systemd{fails: c.fails}
				g := &guard.Guard{LeaseFile: file, Changed: changed, Systemd: s, Now: now, Keep: func() bool { return c.keep }}
				ctx, stop := context.WithCancel(context.Background())
				defer func() { stop(); synctest.Wait() }()
				go g.Run(ctx)
				if c.then != nil {
					go c.then(func(until time.Duration) {
						write(fmt.Sprintf("1 %d", until))
						changed <- struct{}{}
					})
				}
				if c.after > 0 {
					time.Sleep(c.after - time.Millisecond)
					synctest.Wait()
					if len(s.all()) > 0 {
						t.Fatalf("stopped before %s: %v", c.after, s.all())
					}
					time.Sleep(2 * time.Millisecond)
				} else {
					time.Sleep(time.Hour)
				}
				synctest.Wait()
				if (len(s.all()) == 1) != (c.after > 0) {
					t.Errorf("stopped at %s: %v", now(), s.all())
				}
			})
		})
	}
}

// renew renews a lease as a daemon does, every ten seconds, for a time.
func renew(d time.Duration) func(func(time.Duration)) {
	return func(write func(time.Duration)) {
		for begin := time.Now(); ; time.Sleep(10 * time.Second) {
			write(time.Since(begin) + 30*time.Second)
			if time.Since(begin)+10*time.Second >= d {
				return
			}
		}
	}
}
