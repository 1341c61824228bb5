package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// downtime is a time in which a node's etcd certainly did not answer: from the first failed
// question to the beginning of the last one.
type downtime struct {
	node       int
	start, end time.Time
}

// watch records when nodes are down.
type watch struct {
	c      *cluster
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	downs  []downtime
}

// watchDown asks each node's etcd twice a second whether it is healthy, with as much
// time for the answer as elections take.
func (c *cluster) watchDown() *watch {
	ctx, cancel := context.WithCancel(c.t.Context)
	w := &watch{c: c, cancel: cancel}
	for i, m := range c.nodes {
		address := "http://" + m.Address(2379) + "/health?serializable=true"
		w.done.Go(func() { w.ask(ctx, i, address) })
	}
	c.t.Cleanup(w.end)
	return w
}

func (w *watch) end() {
	w.cancel()
	w.done.Wait()
}

func (w *watch) ask(ctx context.Context, node int, address string) {
	client := http.Client{Timeout: 4 * w.c.election}
	var since, last time.Time
	for ctx.Err() == nil {
		start := time.Now()
		up := false
		if request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil); err == nil {
			if answer, err := client.Do(request); err == nil {
				_ = answer.Body.Close()
				up = answer.StatusCode == http.StatusOK
			}
		}
		switch {
		case ctx.Err() != nil:
		case !up && since.IsZero():
			since, last = time.Now(), start
		case !up:
			last = start
		case up && !since.IsZero():
			w.mu.Lock()
			w.downs = append(w.downs, downtime{node, since, last})
			w.mu.Unlock()
			since = time.Time{}
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// wantOneAtATime checks that each node was down, and no two at the same time.
func (w *watch) wantOneAtATime() {
	t := w.c.t
	t.Helper()
	w.end()
	down := map[int]bool{}
	for i, a := range w.downs {
		down[a.node] = true
		t.Logf("node%d was down from %s to %s, %.0f s", a.node+1, a.start.Format("15:04:05.0"), a.end.Format("15:04:05.0"), a.end.Sub(a.start).Seconds())
		for _, b := range w.downs[i+1:] {
			if a.node != b.node && a.start.Before(b.end) && b.start.Before(a.end) {
				t.Errorf("node%d and node%d were down at the same time", a.node+1, b.node+1)
			}
		}
	}
	if len(down) != len(w.c.nodes) {
		t.Error(fmt.Sprint("not every node was seen to be down: ", down))
	}
}
