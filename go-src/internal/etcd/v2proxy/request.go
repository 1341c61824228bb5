package v2proxy

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const keysPrefix = "/v2/keys"

// MaxBodyBytes is the size limit of the body of a request; etcd permits 1.5 MiB by default.
const MaxBodyBytes = 2 << 20

// maxTTL is the limit of etcd, in seconds.
const maxTTL = 9_000_000_000

// request is a request about a key.
type request struct {
	method    string
	path      string
	value     string
	dir       bool
	recursive bool
	wait      bool
	stream    bool
	refresh   bool
	noValue   bool
	// serializable permits a read that does not see the latest write.
	serializable bool
	waitIndex    int64
	prevIndex    int64
	prevValue    string
	prevExist    *bool
	ttl          *int64
}

// compares reports whether the request has a condition on the key.
func (r *request) compares() bool { return r.prevIndex > 0 || r.prevValue != "" }

// parse parses a request: its path and its form, in the query or in the body.
func parse(r *http.Request) (*request, *Error) {
	if err := r.ParseForm(); err != nil {
		return nil, fail(CodeInvalidForm, 0, "%v", err)
	}
	rest, ok := strings.CutPrefix(r.URL.Path, keysPrefix)
	if !ok || rest != "" && rest[0] != '/' {
		return nil, fail(CodeInvalidForm, 0, "keys are under "+keysPrefix)
	}
	p, err := clean(rest)
	if err != nil {
		return nil, err
	}
	f := form{values: r.Form}
	q := &request{
		method:    r.Method,
		path:      p,
		prevIndex: f.index("prevIndex"),
		waitIndex: f.index("waitIndex"),
		recursive: f.boolean("recursive"),
		wait:      f.boolean("wait"),
		dir:       f.boolean("dir"),
		stream:    f.boolean("stream"),
		noValue:   f.boolean("noValueOnSuccess"),
		value:     r.Form.Get("value"),
		prevValue: r.Form.Get("prevValue"),
		prevExist: f.optional("prevExist"),
		refresh:   f.boolean("refresh"),
		ttl:       f.ttl(),
	}
	f.boolean("sorted") // responses are always sorted
	if quorum := f.optional("quorum"); quorum != nil {
		q.serializable = !*quorum
	}
	if f.err != nil {
		return nil, f.err
	}
	return q, q.check(r.Form)
}

// check refuses parameters that exclude each other.
func (r *request) check(values url.Values) *Error {
	switch {
	case r.wait && r.method != http.MethodGet:
		return fail(CodeInvalidField, 0, `"wait" can only be used with GET requests`)
	case values.Has("prevValue") && r.prevValue == "":
		return fail(CodePrevValueRequired, 0, `"prevValue" cannot be empty`)
	case r.refresh && r.value != "":
		return fail(CodeRefreshValue, 0, `A value was provided on a refresh`)
	case r.refresh && r.ttl == nil:
		return fail(CodeRefreshTTL, 0, `No TTL value set`)
	}
	return nil
}

// form reads fields and keeps the first error. The first of several values counts.
type form struct {
	values url.Values
	err    *Error
}

func (f *form) fail(code int, name string) {
	if f.err == nil {
		f.err = fail(code, 0, `invalid value for %q`, name)
	}
}

// optional returns a boolean, or nil if the field is missing.
func (f *form) optional(name string) *bool {
	if !f.values.Has(name) {
		return nil
	}
	b, err := strconv.ParseBool(f.values.Get(name))
	if err != nil {
		f.fail(CodeInvalidField, name)
	}
	return &b
}

func (f *form) boolean(name string) bool {
	b := f.optional(name)
	return b != nil && *b
}

func (f *form) index(name string) int64 {
	if !f.values.Has(name) {
		return 0
	}
	// Revisions have 63 bits.
	n, err := strconv.ParseUint(f.values.Get(name), 10, 63)
	if err != nil {
		f.fail(CodeIndexNaN, name)
	}
	return int64(n)
}

// ttl returns the seconds, or nil if the field is empty or missing.
func (f *form) ttl() *int64 {
	text := f.values.Get("ttl")
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > maxTTL {
		f.fail(CodeTTLNaN, "ttl")
	}
	seconds := int64(n)
	return &seconds
}
