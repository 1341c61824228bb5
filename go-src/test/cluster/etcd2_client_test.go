package cluster

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// client sends operations to one front and records the answers.
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

// request returns the HTTP request of an operation.
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

// send sends a request and returns the answer. If the answer is not clear, the outcome is
// unknown.
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
			// The operation may still take place later. So this client goes on as another one.
			op.back = math.MaxInt64
			c.id += 1000
		case in.kind != remove && out.ok:
			c.seen[in.key] = output{value: out.value, index: out.index}
		}
		c.history = append(c.history, op)
	}
}
