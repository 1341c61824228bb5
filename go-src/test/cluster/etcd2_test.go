// Package cluster tests daemons on clusters of real etcd processes that fail.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"coreos/internal/etcd/v2proxy"
	"coreos/test/etcdtest"
)

// fronts are proxies of the cluster: one of each member, as on machines that run one, and
// one of all members.
func fronts(t *testing.T, c *etcdtest.Cluster) []string {
	t.Helper()
	of := [][]string{c.Endpoints()}
	for i := range c.Len() {
		of = append(of, []string{c.Endpoint(i)})
	}
	var urls []string
	for _, endpoints := range of {
		config := v2proxy.Config{Endpoints: endpoints}
		client, err := config.NewClient()
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(v2proxy.Handler(v2proxy.NewStore(client), v2proxy.Limits{Request: time.Second}))
		t.Cleanup(func() {
			server.Close()
			_ = client.Close()
		})
		urls = append(urls, server.URL)
	}
	return urls
}

// fault makes the leader or any member fail for a while, in one of the ways in which
// machines fail.
func fault(ctx context.Context, c *etcdtest.Cluster, random *rand.Rand) (string, error) {
	target, who := random.IntN(c.Len()), "member"
	if random.IntN(3) > 0 {
		var err error
		if target, err = c.Leader(ctx); err != nil {
			return "", err
		}
		who = "leader"
	}
	m := c.Member(target)
	ways := []struct {
		name       string
		fail, mend func() error
	}{
		{"kill", m.Kill, m.Start},
		{"pause", m.Pause, m.Resume},
		{"isolate", m.Isolate, m.Rejoin},
		{"isolate from peers", m.IsolatePeers, m.Rejoin},
	}
	way := ways[random.IntN(len(ways))]
	name := fmt.Sprintf("%s %s %d", way.name, who, target)
	if err := way.fail(); err != nil {
		return name, err
	}
	// Long enough for an election.
	time.Sleep(600*time.Millisecond + rand.N(600*time.Millisecond))
	return name, errors.Join(way.mend(), c.WaitHealthy(ctx))
}

const (
	faults        = 3
	clientsAFront = 2
)

// TestEtcd2Linearizable gets, sets, compares and swaps, and deletes through several
// proxies while members of the cluster fail, and has porcupine look for an order of all
// operations that explains what each client was told.
func TestEtcd2Linearizable(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	urls := fronts(t, c)
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			histories := trouble(ctx, t, c, urls, seed)
			for key, history := range histories {
				if result := porcupine.CheckOperationsTimeout(model, history, time.Minute); result != porcupine.Ok {
					t.Errorf("%s, %d operations: %s", key, len(history), result)
				}
			}
		})
	}
}

// trouble runs clients while members fail, and returns the operations on each key.
func trouble(ctx context.Context, t *testing.T, c *etcdtest.Cluster, urls []string, seed uint64) map[string][]porcupine.Operation {
	t.Helper()
	keys := []string{fmt.Sprintf("/seed%d/a", seed), fmt.Sprintf("/seed%d/b", seed)}
	var values atomic.Int64
	var clients []*client
	var group sync.WaitGroup
	working, stop := context.WithCancel(ctx)
	begin := time.Now()
	for i := range clientsAFront * len(urls) {
		cl := &client{
			http: &http.Client{Timeout: 3 * time.Second}, base: urls[i%len(urls)], id: i, begin: begin,
			random: rand.New(rand.NewPCG(seed, uint64(i))), values: &values, seen: map[string]output{},
		}
		clients = append(clients, cl)
		group.Go(func() { cl.run(working, keys) })
	}
	random := rand.New(rand.NewPCG(seed, math.MaxUint64))
	for range faults {
		name, err := fault(ctx, c, random)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(name)
	}
	stop()
	group.Wait()
	return collect(t, clients)
}

func collect(t *testing.T, clients []*client) map[string][]porcupine.Operation {
	t.Helper()
	all := map[string][]porcupine.Operation{}
	operations, unknown, writes := 0, 0, 0
	for _, c := range clients {
		operations += len(c.history)
		for _, op := range c.history {
			all[op.in.key] = append(all[op.in.key], porcupine.Operation{
				ClientId: op.id, Input: op.in, Output: op.out, Call: op.call, Return: op.back,
			})
			if op.out.unknown {
				unknown++
			} else if op.in.kind != get && op.out.ok {
				writes++
			}
		}
	}
	t.Logf("%d operations, %d writes, %d of unknown outcome", operations, writes, unknown)
	if writes < 100 {
		t.Errorf("only %d writes took place", writes)
	}
	return all
}

// TestEtcd2Wait waits in a stream while members fail: all events of writes that were
// confirmed come, once, in order.
func TestEtcd2Wait(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	front := fronts(t, c)[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, front+"/v2/keys/stream?wait=true&recursive=true&stream=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	confirmed := make(chan []string, 1)
	working, stop := context.WithCancel(ctx)
	go func() {
		w := &client{http: http.DefaultClient, base: front}
		var all []string
		for i := 0; working.Err() == nil; i++ {
			value := strconv.Itoa(i)
			if w.send(ctx, input{key: "/stream/a", kind: set, value: value}).ok {
				all = append(all, value)
			}
		}
		// The one that ends the test.
		for ctx.Err() == nil && !w.send(ctx, input{key: "/stream/a", kind: set, value: "end"}).ok {
		}
		confirmed <- append(all, "end")
	}()
	go func() {
		defer stop()
		random := rand.New(rand.NewPCG(1, 1))
		for range faults {
			if name, err := fault(ctx, c, random); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}()
	seen := stream(t, resp.Body)
	want := <-confirmed
	for _, value := range want {
		if seen[value] == 0 {
			t.Errorf("the event of %s did not come", value)
		}
	}
	t.Logf("%d writes confirmed, %d events", len(want), len(seen))
}

// stream reads events until the last, and returns the index of each value.
func stream(t *testing.T, body io.Reader) map[string]int64 {
	t.Helper()
	seen := map[string]int64{}
	last := int64(0)
	for decoder := json.NewDecoder(body); seen["end"] == 0; {
		var event struct {
			Action string
			Node   struct {
				Value         string
				ModifiedIndex int64
			}
		}
		if err := decoder.Decode(&event); err != nil {
			t.Fatalf("after %d events: %v", len(seen), err)
		}
		if event.Action != "set" || event.Node.ModifiedIndex <= last {
			t.Errorf("%+v after index %d", event, last)
		}
		last = event.Node.ModifiedIndex
		seen[event.Node.Value] = last
	}
	return seen
}
