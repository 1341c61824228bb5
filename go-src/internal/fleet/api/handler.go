package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Version is that of the fleet with which this API, its daemon and its command are
// compatible.
const Version = "1.0.0"

// prefixes are the paths below which the API is; the second is from before version 1.
var prefixes = []string{"/fleet/v1", "/v1-alpha"}

// Bounds of a request.
const (
	maxBody     = 1 << 20
	requestTime = 30 * time.Second
)

// Config is how a Handler knows its callers. A nil function or logger stands for what the
// comment says.
type Config struct {
	// By names who sent a request, for the logs; their address.
	By func(*http.Request) string
	// Allow refuses a request, with 403 and the error's text; write is of one that
	// changes something. Nobody is refused.
	Allow func(r *http.Request, write bool) error
	// Log gets a line for each request that would change something; slog.Default.
	Log *slog.Logger
	// PageSize is how many items a page of a list has, at most; 0 is the usual PageSize.
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
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { sendError(w, &Error{Code: http.StatusNotFound}) })
	return protect(mux)
}

// method answers a request. What it returns is sent, or the error.
type method func(r *http.Request, by string) (reply, error)

type reply struct {
	code int
	body any
	// did is for the log, of a request that changed something.
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

// protect keeps web pages that a browser shows from changing a cluster that the browser
// can reach, and says which fleet answers.
func protect(h http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sendError(w, refuse(http.StatusForbidden, "a web page from elsewhere cannot change the cluster"))
	}))
	h = cross.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "fleetd/"+Version)
		h.ServeHTTP(w, r)
	})
}

// resource serves one path, by the request's method.
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
		} else if err != nil && code(err) >= http.StatusInternalServerError && r.Context().Err() == nil {
			s.Log.Error("request failed", "by", by, "from", r.RemoteAddr, "path", r.URL.Path, "code", code(err), "error", err)
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

// audit logs who would change what, and whether it was done.
func (s *server) audit(r *http.Request, by string, reply reply, err error) {
	attributes := []any{"by", by, "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path}
	if err != nil {
		s.Log.Warn("cluster not changed", append(attributes, "code", code(err), "error", err)...)
		return
	}
	s.Log.Info("cluster changed", append(attributes, "code", reply.code, "did", reply.did)...)
}

// Error is an answer that is not what was asked for.
type Error struct {
	Code    int
	Message string
	cause   error
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code))
	}
	return e.Message
}

// Unwrap gives the errors of Cluster to those who ask a server for it.
func (e *Error) Unwrap() error { return e.cause }

// codes are what the errors of a Cluster become.
var codes = []struct {
	err  error
	code int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusConflict},
	{ErrInvalid, http.StatusBadRequest},
	{ErrUnavailable, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
}

func code(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	for _, known := range codes {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return http.StatusInternalServerError
}

func refuse(code int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: err}
}

// errorBody is how an error is sent.
type errorBody struct {
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func sendError(w http.ResponseWriter, err error) {
	var body errorBody
	body.Error.Code, body.Error.Message = code(err), err.Error()
	send(w, body.Error.Code, body)
}

func send(w http.ResponseWriter, code int, body any) {
	if body == nil {
		w.WriteHeader(code)
		return
	}
	text, err := json.Marshal(body)
	if err != nil { // all bodies are ours
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text) // who asked may be gone
}
