package api_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"coreos/internal/fleet/api"
)

// FuzzRequest sends any request. The answer has the form of the API, and the server can still list
// all states after it.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/fleet/v1/units", "")
	f.Add("PUT", "/fleet/v1/units/web@1.service", `{"desiredState":"launched",`+sleep+`}`)
	f.Add("PUT", "/v1-alpha/units/a.service", `{"options":[{"section":"X-Fleet","name":"Conflicts","value":"[a"}]}`)
	f.Add("PATCH", "/fleet/v1/machines", `[{"op":"add","path":"/`+m1+`/metadata/a","value":{"value":"b"}}]`)
	f.Add("GET", "/fleet/v1/state?nextPageToken=ZAACAA==&unitName=%zz", "")
	f.Add("DELETE", "/fleet/v1/machines/%2e%2e/drain", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		u, err := r.URL.Parse(path)
		if err != nil {
			return
		}
		r.Method, r.URL = method, u
		r.Header.Set("Content-Type", "application/json")
		h := api.Handler(newCluster(), api.Config{Log: quiet()})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var e struct {
			Error struct {
				Code    int
				Message string
			}
		}
		switch {
		case w.Code >= 500:
			t.Errorf("%s %q %q: %d %s", method, path, body, w.Code, w.Body)
		case w.Code >= 400 && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Error.Code != w.Code):
			t.Errorf("%s %q: %d with the error %s", method, path, w.Code, w.Body)
		}
		if w := ask(h, "GET", "/fleet/v1/state", ""); w.Code != 200 {
			t.Errorf("after %s %q %q: %d %s", method, path, body, w.Code, w.Body)
		}
	})
}
