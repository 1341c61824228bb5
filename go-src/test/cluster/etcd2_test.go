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
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"coreos/internal/etcd/v2proxy"
	"coreos/test/etcdtest"
)

// register is what a key is at a moment. An index of 0 is one that nobody was told.
type register struct {
	exists bool
	value  string
	index  int64
}

type kind int

const (
	get kind = iota
	set
	swapValue
	swapIndex
	remove
	kinds
)

type input struct {
	key       string
	kind      kind
	value     string
	prevValue string
	prevIndex int64
}

// output is an answer. Of a write that was not answered the outcome is unknown.
type output struct {
	unknown bool
	ok      bool // false: no such key, or not what it was compared with
	missing bool
	value   string
	index   int64
}

// after is the register after a write that took place.
func (in input) after(index int64) register {
	if in.kind == remove {
		return register{}
	}
	return register{exists: true, value: in.value, index: index}
}

// applies says whether a write can take place.
func (in input) applies(r register) bool {
	switch in.kind {
	case swapValue:
		return r.exists && r.value == in.prevValue
	case swapIndex:
		return r.exists && (r.index == 0 || r.index == in.prevIndex)
	case remove:
		return r.exists
	}
	return true
}

// step returns the registers that there can be after an operation.
func step(r register, in input, out output) []register {
	switch {
	case in.kind == get && out.missing:
		return only(r, !r.exists)
	case in.kind == get:
		seen := register{true, out.value, out.index}
		return only(seen, r.exists && r.value == out.value && (r.index == 0 || r.index == out.index))
	case out.unknown && in.applies(r):
		return []register{r, in.after(0)}
	case out.unknown:
		return []register{r}
	case out.ok:
		return only(in.after(out.index), in.applies(r) && out.index > r.index)
	case out.missing:
		return only(r, !r.exists)
	}
	// An index that nobody was told may be another than that which was asked for.
	return only(r, r.exists && (!in.applies(r) || in.kind == swapIndex && r.index == 0))
}

func only(r register, possible bool) []register {
	if !possible {
		return nil
	}
	return []register{r}
}

var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{register{}} },
	Step: func(state, in, out any) []any {
		var all []any
		for _, r := range step(state.(register), in.(input), out.(output)) {
			all = append(all, r)
		}
		return all
	},
}).ToModel()

// client sends operations to one front and writes down what it saw.
type client struct {
	http    *http.Client
	base    string
	random  *rand.Rand
	values  *atomic.Int64
	seen    map[string]output
	history []operation
	begin   time.Time
	id      int
}

type operation struct {
	in         input
	out        output
	call, back int64
	id         int
}

func (c *client) next(keys []string) input {
	key := keys[c.random.IntN(len(keys))]
	last := c.seen[key]
	in := input{key: key, kind: kind(c.random.IntN(int(kinds))), value: strconv.FormatInt(c.values.Add(1), 10)}
	in.prevValue, in.prevIndex = last.value, last.index
	if in.kind == swapValue && in.prevValue == "" || in.kind == swapIndex && in.prevIndex == 0 ||
		in.kind == remove && c.random.IntN(3) > 0 {
		in.kind = get
	}
	return in
}

// request is the operation in HTTP.
func (c *client) request(ctx context.Context, in input) *http.Request {
	form := url.Values{"value": {in.value}}
	method := http.MethodPut
	switch in.kind {
	case get:
		method, form = http.MethodGet, nil
	case swapValue:
		form.Set("prevValue", in.prevValue)
	case swapIndex:
		form.Set("prevIndex", strconv.FormatInt(in.prevIndex, 10))
	case remove:
		method, form = http.MethodDelete, nil
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/v2/keys"+in.key, strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// send returns the answer. Any that is not clear leaves the outcome unknown.
func (c *client) send(ctx context.Context, in input) output {
	resp, err := c.http.Do(c.request(ctx, in))
	if err != nil {
		return output{unknown: true}
	}
	defer resp.Body.Close()
	var body struct {
		Node struct {
			Value         string
			ModifiedIndex int64
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return output{unknown: true}
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated:
		return output{ok: true, value: body.Node.Value, index: body.Node.ModifiedIndex}
	case http.StatusNotFound:
		return output{missing: true}
	case http.StatusPreconditionFailed:
		return output{}
	}
	return output{unknown: true}
}

func (c *client) run(ctx context.Context, keys []string) {
	for ctx.Err() == nil {
		in := c.next(keys)
		call := time.Since(c.begin)
		out := c.send(context.WithoutCancel(ctx), in)
		op := operation{in, out, int64(call), int64(time.Since(c.begin)), c.id}
		switch {
		case out.unknown && in.kind == get:
			continue
		case out.unknown:
			// It may take place at any later time, while this client goes on as another.
			op.back = math.MaxInt64
			c.id += 1000
		case in.kind != remove && out.ok:
			c.seen[in.key] = output{value: out.value, index: out.index}
		}
		c.history = append(c.history, op)
	}
}

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

// fault fails the leader or any member for a while, in one of the ways of machines.
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

// trouble runs clients while members fail, and returns what they saw of each key.
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
