package v2proxy

import (
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
)

func newRequest(method, target, form string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(form))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestParse(t *testing.T) {
	yes, ttl := true, int64(5)
	tests := []struct {
		method, target, form string
		want                 request
		code                 int
	}{
		{"GET", "/v2/keys", "", request{path: "/"}, 0},
		{"GET", "/v2/keys/", "", request{path: "/"}, 0},
		{"GET", "/v2/keys//a/./b/../c/", "", request{path: "/a/c"}, 0},
		{"GET", "/v2/keys/../../a", "", request{path: "/a"}, 0},
		{"GET", "/v2/keysa", "", request{}, CodeInvalidForm},
		{"GET", "/v2/keys/a?quorum=false&recursive=true", "", request{path: "/a", serializable: true, recursive: true}, 0},
		{"GET", "/v2/keys/a?wait=true&waitIndex=7&stream=true", "", request{path: "/a", wait: true, waitIndex: 7, stream: true}, 0},
		{"PUT", "/v2/keys/a?value=query", "value=body", request{path: "/a", value: "body"}, 0},
		{"PUT", "/v2/keys/a", "ttl=5&prevExist=true&refresh=true", request{path: "/a", ttl: &ttl, prevExist: &yes, refresh: true}, 0},
		{"PUT", "/v2/keys/a", "refresh=true", request{}, CodeRefreshTTL},
		{"PUT", "/v2/keys/a", "ttl=9000000001", request{}, CodeTTLNaN},
		{"PUT", "/v2/keys/a", "prevIndex=18446744073709551615", request{}, CodeIndexNaN},
		{"PUT", "/v2/keys/a", "sorted=maybe", request{}, CodeInvalidField},
		{"PUT", "/v2/keys/" + strings.Repeat("x/", MaxDepth+1), "", request{}, CodeInvalidField},
		{"PUT", "/v2/keys/" + strings.Repeat("x", MaxKeyBytes), "", request{}, CodeInvalidField},
	}
	for _, test := range tests {
		got, err := parse(newRequest(test.method, test.target, test.form))
		if test.code != 0 {
			if err == nil || err.Code != test.code {
				t.Errorf("%s %s: got %v, want code %d", test.target, test.form, err, test.code)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.target, err)
			continue
		}
		test.want.method = test.method
		if !same(got, &test.want) {
			t.Errorf("%s %s: got %+v, want %+v", test.target, test.form, got, test.want)
		}
	}
}

func same(a, b *request) bool {
	x, y := *a, *b
	ok := (x.ttl == nil) == (y.ttl == nil) && (x.ttl == nil || *x.ttl == *y.ttl) &&
		(x.prevExist == nil) == (y.prevExist == nil) && (x.prevExist == nil || *x.prevExist == *y.prevExist)
	x.ttl, y.ttl, x.prevExist, y.prevExist = nil, nil, nil, nil
	return ok && x == y
}

func FuzzParse(f *testing.F) {
	f.Add("PUT", "/v2/keys/a/../b?prevIndex=3", "value=1&ttl=5&dir=true")
	f.Add("GET", "/v2/keys/_x//y/?wait=true&waitIndex=9", "")
	f.Fuzz(func(t *testing.T, method, target, form string) {
		if strings.ContainsAny(method, " \r\n\t") || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Skip()
		}
		r, err := parse(newRequest(method, target, form))
		if err != nil {
			if err.Message == "" || err.Status() < 400 {
				t.Errorf("%+v", err)
			}
			return
		}
		p := r.path
		if p != path.Clean(p) || p[0] != '/' || len(p) > MaxKeyBytes || len(ancestors(p)) >= MaxDepth {
			t.Errorf("path %q", p)
		}
		if got, dir, ok := pathOf(p); p != "/" && (!ok || dir || got != p) {
			t.Errorf("%q is the path of %q", got, p)
		}
		if r.waitIndex < 0 || r.prevIndex < 0 || r.ttl != nil && *r.ttl < 0 {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"action":"delete","key":"/a","dir":true,"created":3,"modified":4}`))
	f.Add([]byte(`{"action":"set","key":"/a/"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := decodeRecord(text)
		if err != nil {
			return
		}
		again, err := decodeRecord([]byte(r.encode()))
		if err != nil {
			t.Fatalf("%q: %v", r.encode(), err)
		}
		if *again != *r {
			t.Errorf("%+v became %+v", r, again)
		}
		if e := recorded(r, 9, nil); e.Node.Key != r.Key {
			t.Errorf("%+v", e)
		}
	})
}

func TestPaths(t *testing.T) {
	if got := ancestors("/a/b/c"); !slices.Equal(got, []string{"/a", "/a/b"}) {
		t.Errorf("%q", got)
	}
	for key, want := range map[string]string{"/a": "/a", "/a/": "/a", "/a/b/": "/a/b", "/": "", "a": "", "": "", "/a//b": "", "/a/./b": "", "//": "", "/a//": ""} {
		got, _, ok := pathOf(key)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", key, got, ok)
		}
	}
	for _, test := range []struct {
		dir, p string
		want   bool
	}{
		{"/", "/_a", true}, {"/", "/a/_b/c", true}, {"/a", "/a/b_", false}, {"/_a", "/_a/b", false},
		{"/_a", "/_a", false}, {"/a/b", "/a", false}, {"/a", "/ab/_c", false},
	} {
		if got := hidden(test.dir, test.p); got != test.want {
			t.Errorf("hidden(%q, %q) = %v", test.dir, test.p, got)
		}
	}
}
