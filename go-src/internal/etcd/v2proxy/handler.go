package v2proxy

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Limits are limits of the handler. Zero stands for the default.
type Limits struct {
	// Request is the time limit of a request that does not wait; by default 5 s.
	Request time.Duration
	// Waits is how many requests may wait for events at the same time; by default 4096.
	Waits int
}

// A wait without an event ends after waitLimit, as in etcd 2. A client that does not read
// the response is disconnected after writeLimit.
const (
	waitLimit  = 5 * time.Minute
	writeLimit = 10 * time.Second
)

type handler struct {
	store  *Store
	limits Limits
	waits  chan struct{}
}

// Handler serves the v2 API of a store, and /version, /health and /metrics.
func Handler(store *Store, limits Limits) http.Handler {
	if limits.Request == 0 {
		limits.Request = 5 * time.Second
	}
	if limits.Waits == 0 {
		limits.Waits = 4096
	}
	h := &handler{store, limits, make(chan struct{}, limits.Waits)}
	metrics := store.metrics.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, MaxBodyBytes)
		switch p := r.URL.Path; {
		case p == keysPrefix || strings.HasPrefix(p, keysPrefix+"/"):
			h.keys(w, r)
		case p == "/metrics":
			metrics.ServeHTTP(w, r)
		default:
			h.about(w, r)
		}
	})
}

// keys answers a request about keys and counts it.
func (h *handler) keys(w http.ResponseWriter, r *http.Request) {
	answer := &answer{ResponseWriter: w, status: http.StatusOK}
	start := time.Now()
	method := r.Method
	if id := h.store.cluster.Load(); id != 0 {
		answer.Header().Set("X-Etcd-Cluster-Id", strconv.FormatUint(id, 16))
	}
	if !allow(answer, r, http.MethodHead, http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete) {
		method = "other"
	} else if waited := h.key(answer, r); !waited {
		h.store.metrics.seconds.WithLabelValues(method).Observe(time.Since(start).Seconds())
	}
	h.store.metrics.requests.WithLabelValues(method, strconv.Itoa(answer.status)).Inc()
}

// answer is a response writer that records the status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (h *handler) key(w http.ResponseWriter, r *http.Request) (waited bool) {
	req, err := parse(r)
	if err != nil {
		err.write(w)
		return false
	}
	if req.wait {
		h.wait(w, r, req)
		return true
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.limits.Request)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.limits.Request + writeLimit))
	e, header, failed := h.do(ctx, req)
	if failed != nil {
		h.fail(w, r, failed)
		return false
	}
	writeHeader(w, header)
	if e.created() {
		w.WriteHeader(http.StatusCreated)
	}
	if req.noValue && slices.Contains([]string{Set, CompareAndSwap, Create, Update}, e.Action) {
		e = &Event{Action: e.Action}
	}
	_ = json.NewEncoder(w).Encode(e)
	return false
}

// fail answers with an error. It logs errors of etcd, but not those of the client.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := failure(err, false)
	if e.Status() >= http.StatusInternalServerError && r.Context().Err() == nil {
		slog.Warn("request failed", "method", r.Method, "key", r.URL.Path, "error", e.Cause)
	}
	e.write(w)
}

// do handles a request that does not wait.
func (h *handler) do(ctx context.Context, req *request) (*Event, *etcdserverpb.ResponseHeader, error) {
	if req.method == http.MethodGet || req.method == http.MethodHead {
		return h.store.Get(ctx, req)
	}
	w := &writer{Store: h.store, req: req}
	p, plan := w.plan()
	e, header, err := w.run(ctx, p, plan)
	if err != nil {
		return nil, nil, err
	}
	if err := h.store.fillTTLs(ctx, e.Node, e.PrevNode); err != nil {
		// The write has happened all the same.
		slog.Warn("the response has no TTL", "key", req.path, "error", err)
	}
	return e, header, nil
}

func writeHeader(w http.ResponseWriter, header *etcdserverpb.ResponseHeader) {
	set := w.Header().Set
	revision := strconv.FormatInt(header.Revision, 10)
	set("Content-Type", "application/json")
	set("X-Etcd-Cluster-Id", strconv.FormatUint(header.ClusterId, 16))
	set("X-Etcd-Index", revision)
	set("X-Raft-Index", revision)
	set("X-Raft-Term", strconv.FormatUint(header.RaftTerm, 10))
}

// wait answers with the next event, or with all events from now on.
func (h *handler) wait(w http.ResponseWriter, r *http.Request, req *request) {
	select {
	case h.waits <- struct{}{}:
	default:
		e := fail(CodeRaftInternal, 0, "%d requests wait for events already", h.limits.Waits)
		e.status = http.StatusServiceUnavailable
		h.fail(w, r, e)
		return
	}
	h.store.metrics.waits.Inc()
	defer func() {
		h.store.metrics.waits.Dec()
		<-h.waits
	}()
	ctx, cancel := context.WithTimeout(r.Context(), h.limits.Request)
	seen, err := h.store.watch(ctx, req)
	cancel()
	if err != nil {
		h.fail(w, r, err)
		return
	}
	ctx, cancel = context.WithTimeout(r.Context(), waitLimit)
	defer cancel()
	writeHeader(w, seen.header)
	control := http.NewResponseController(w)
	// The time limit of the server for reading a request is shorter than a wait.
	_ = control.SetReadDeadline(time.Time{})
	if flush(control) != nil {
		return
	}
	for {
		e, err := seen.Next(ctx)
		if e := (*Error)(nil); errors.As(err, &e) {
			// The history was compacted during the wait. The status has been sent.
			_ = json.NewEncoder(w).Encode(e)
		}
		if err != nil || control.SetWriteDeadline(time.Now().Add(writeLimit)) != nil || json.NewEncoder(w).Encode(e) != nil {
			return
		}
		if !req.stream || flush(control) != nil {
			return
		}
	}
}

// flush sends the data that were written, with a time limit.
func flush(c *http.ResponseController) error {
	if err := c.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ","))
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}
