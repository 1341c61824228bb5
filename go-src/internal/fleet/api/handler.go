package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"coreos/internal/fleet/schema"
)

// prefixes are the paths below which the API is served. The second one is from before
// version 1.
var prefixes = []string{schema.Prefix, "/v1-alpha"}

// Bounds of a request.
const (
	maxBody     = 1 << 20
	requestTime = 30 * time.Second
)

// Config configures a Handler.
type Config struct {
	// By returns the name of the caller, for the logs. The default is the caller's address.
	By func(*http.Request) string
	// Allow returns an error to refuse a request with status 403; write says that the
	// request changes something. The default refuses nobody.
	Allow func(r *http.Request, write bool) error
	// Taken returns where this machine has a unit of its own with the name from, "" if it has none:
	// fleet cannot run another one here. The default knows none.
	Taken func(ctx context.Context, name string) (where string, err error)
	// Log gets a line for each request that changes something, also if it fails. The
	// default is slog.Default.
	Log *slog.Logger
	// PageSize is the largest number of items on a page of a list. 0 is the constant
	// PageSize.
	PageSize int
}

type server struct {
	cluster Cluster
	Config
}

// Handler serves the API in front of a cluster.
func Handler(cluster Cluster, c Config) http.Handler {
	if c.By == nil {
		c.By = func(r *http.Request) string { return r.RemoteAddr }
	}
	if c.Allow == nil {
		c.Allow = func(*http.Request, bool) error { return nil }
	}
	if c.Taken == nil {
		c.Taken = func(context.Context, string) (string, error) { return "", nil }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.PageSize == 0 {
		c.PageSize = PageSize
	}
	s := &server{cluster, c}
	mux := http.NewServeMux()
	for _, prefix := range prefixes {
		for path, methods := range s.resources() {
			mux.Handle(prefix+path, s.resource(methods))
		}
		mux.Handle(prefix, s.resource(nil))
	}
	mux.Handle("/{$}", s.resource(nil))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { sendError(w, &schema.Error{Code: http.StatusNotFound}) })
	return protect(mux)
}

// method answers a request with a reply or an error.
type method func(r *http.Request, by string) (reply, error)

type reply struct {
	code int
	body any
	// did says for the log what the request changed.
	did string
}

func (s *server) resources() map[string]map[string]method {
	return map[string]map[string]method{
		"/discovery":           {http.MethodGet: discovery},
		"/machines":            {http.MethodGet: s.listMachines, http.MethodPatch: s.patchMachines},
		"/machines/{id}/drain": {http.MethodPut: s.drain, http.MethodDelete: s.undrain},
		"/rebalance":           {http.MethodPost: s.rebalance},
		"/state":               {http.MethodGet: s.listStates},
		"/state/{name}":        {http.MethodGet: s.getState},
		"/units":               {http.MethodGet: s.listUnits},
		"/units/{name}":        {http.MethodGet: s.getUnit, http.MethodPut: s.putUnit, http.MethodDelete: s.deleteUnit},
		"/units/{name}/why":    {http.MethodGet: s.why},
	}
}

// protect refuses requests of foreign web pages, which a browser inside the network would
// pass on, and names the server's version in each answer.
func protect(h http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sendError(w, refuse(http.StatusForbidden, "a web page of another origin cannot change the cluster"))
	}))
	h = cross.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "fleetd/"+schema.Version)
		h.ServeHTTP(w, r)
	})
}

// resource serves one path with a function for each HTTP method.
func (s *server) resource(methods map[string]method) http.Handler {
	allowed := slices.Sorted(maps.Keys(methods))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := methods[r.Method]
		if !ok {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			sendError(w, refuse(http.StatusMethodNotAllowed, "this resource has the methods: %s", strings.Join(allowed, ", ")))
			return
		}
		write, by := r.Method != http.MethodGet, s.By(r)
		reply, err := s.answer(w, r, answer, by, write)
		if write {
			s.audit(r, by, reply, err)
		} else if err != nil && schema.Status(err) >= http.StatusInternalServerError && r.Context().Err() == nil {
			s.Log.Error("request failed", "by", by, "from", r.RemoteAddr, "path", r.URL.Path, "code", schema.Status(err), "error", err)
		}
		if err != nil {
			sendError(w, err)
			return
		}
		send(w, reply.code, reply.body)
	})
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, answer method, by string, write bool) (reply, error) {
	if err := s.Allow(r, write); err != nil {
		return reply{}, refuse(http.StatusForbidden, "%w", err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	return answer(r.WithContext(ctx), by)
}

// audit logs who asked for which change, and whether the cluster was changed.
func (s *server) audit(r *http.Request, by string, reply reply, err error) {
	attributes := []any{"by", by, "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path}
	if err != nil {
		s.Log.Warn("cluster not changed", append(attributes, "code", schema.Status(err), "error", err)...)
		return
	}
	s.Log.Info("cluster changed", append(attributes, "code", reply.code, "did", reply.did)...)
}
