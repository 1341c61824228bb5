package fleettest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/store"
	"coreos/test/etcdtest"
)

// TestFlood submits ten thousand units through the API, from a hundred callers as fast as they can,
// some units twice, and reads the machines meanwhile. All units exist afterwards, each once, and no
// request fails.
func TestFlood(t *testing.T) {
	const units, callers = 10_000, 100
	cluster := etcdtest.New(t, 1, etcdtest.NoFsync())
	fleet := registry.New(store.New(cluster.Client(t), store.DefaultPrefix))
	t.Cleanup(fleet.Close)
	socket := filepath.Join(t.TempDir(), "fleet.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler(fleet, api.Config{})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		MaxIdleConnsPerHost: callers,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}

	start := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for caller := range callers {
		all.Go(func() {
			for i := caller; i < units; i += callers {
				for _, n := range []int{i, (i + 1) % units}[:1+i%2] { // and each second one twice
					code, err := put(client, fmt.Sprintf("flood-%d.service", n))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					codes[code]++
					mu.Unlock()
				}
			}
		})
	}
	slowest := time.Duration(0)
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for more := true; more; {
		asked := time.Now()
		if _, err := fleet.Machines(t.Context()); err != nil {
			t.Error(err)
		}
		slowest = max(slowest, time.Since(asked))
		select {
		case <-done:
			more = false
		case <-time.After(100 * time.Millisecond):
		}
	}
	took := time.Since(start)
	list, err := fleet.Units(t.Context())
	if err != nil || len(list) != units {
		t.Errorf("%d units, %v", len(list), err)
	}
	for code, n := range codes {
		if code != http.StatusCreated && code != http.StatusNoContent {
			t.Errorf("%d requests were answered with %d", n, code)
		}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d units in %s, answers %v, the slowest look meanwhile %s, heap %d MiB", units, took, codes, slowest, memory.HeapInuse>>20)
}

func put(client *http.Client, name string) (int, error) {
	request, err := http.NewRequest(http.MethodPut, "http://fleet/fleet/v1/units/"+name, strings.NewReader(
		`{"desiredState":"launched","options":[{"section":"Service","name":"ExecStart","value":"/bin/sleep 1"}]}`))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}
