package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/api/apitest"
	"coreos/internal/fleet/schema"
)

const (
	m1, m2 = "1111111111111111aaaaaaaaaaaaaaaa", "2222222222222222bbbbbbbbbbbbbbbb"
	sleep  = `"options":[{"section":"Service","name":"ExecStart","value":"/bin/sleep 3000"}]`
	nap    = `"options":[{"section":"Service","name":"ExecStart","value":"/bin/sleep 1"}]`
)

func newCluster() *apitest.Cluster {
	c := new(apitest.Cluster)
	c.Join(schema.Machine{ID: m1, PrimaryIP: "10.0.0.1", Metadata: map[string]string{"region": "eu"}})
	c.Join(schema.Machine{ID: m2, PrimaryIP: "10.0.0.2"})
	return c
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ask sends a request. A body is sent as JSON.
func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Del(header[i]); header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestRequests sends requests to one cluster: each depends on those before it.
func TestRequests(t *testing.T) {
	h := api.Handler(newCluster(), api.Config{Log: quiet()})
	for _, test := range []struct {
		method, path, body string
		code               int
		want               string // in the answer; all of it, if it begins with =
	}{
		{"GET", "/fleet/v1/units", "", 200, "={}"},
		{"GET", "/fleet/v1/state", "", 200, "={}"},
		{"GET", "/fleet/v1/machines", "", 200, `={"machines":[{"id":"` + m1 + `","primaryIP":"10.0.0.1","metadata":{"region":"eu"}},{"id":"` + m2 + `","primaryIP":"10.0.0.2"}]}`},
		{"GET", "/v1-alpha/machines", "", 200, m1},
		{"GET", "/fleet/v1/discovery", "", 200, `"discovery#restDescription"`},

		{"PUT", "/fleet/v1/units/web.service", `{"desiredState":"launched"}`, 409, "does not exist"},
		{"PUT", "/fleet/v1/units/web.service", `{"desiredState":"running",` + sleep + `}`, 400, "not inactive, loaded or launched"},
		{"PUT", "/fleet/v1/units/web.service", `{"name":"db.service",` + sleep + `}`, 400, "db.service"},
		{"PUT", "/fleet/v1/units/web.target", `{` + sleep + `}`, 400, "target"},
		{"PUT", "/fleet/v1/units/web", `{` + sleep + `}`, 400, "no type"},
		{"PUT", "/fleet/v1/units/a%2Fb.service", `{` + sleep + `}`, 400, "invalid character"},
		{"PUT", "/fleet/v1/units/web.service", `{`, 400, "unable to decode body"},
		{"PUT", "/fleet/v1/units/web.service", `[]`, 400, "unable to decode body"},
		{"PUT", "/fleet/v1/units/web.service", `{"options":[null]}`, 400, "option 1 has no section"},
		{"PUT", "/fleet/v1/units/web.service", `{"options":[{"section":"Service","name":"X","value":"y\n[X-Fleet]\nGlobal=1"}]}`, 400, "cannot be written as a unit file"},
		{"PUT", "/fleet/v1/units/web.service", `{"options":[{"section":"X-Fleet","name":"MachineID","value":"a"},{"section":"X-Fleet","name":"Global","value":"1"}]}`, 400, "MachineID cannot be used with Global"},
		{"PUT", "/fleet/v1/units/web.service", `{"options":[{"section":"S","name":"X","value":"` + strings.Repeat("y", 3000) + `"}]}`, 400, "too long"},
		{"PUT", "/fleet/v1/units/web.service", `{"x":"` + strings.Repeat("y", 1<<20) + `"}`, 413, "larger"},
		{"PUT", "/fleet/v1/units/web.service", "", 415, "Content-Type"},
		{"GET", "/fleet/v1/units/web.service", "", 404, `={"error":{"code":404,"message":"unit does not exist"}}`},

		{"PUT", "/fleet/v1/units/web.service", `{` + sleep + `}`, 201, "="},
		{"PUT", "/fleet/v1/units/web.service", `{` + sleep + `}`, 409, "desiredState"},
		{"GET", "/fleet/v1/units/web.service", "", 200, `={"name":"web.service",` + sleep + `,"desiredState":"inactive","currentState":"inactive"}`},
		{"PUT", "/fleet/v1/units/web.service", `{"desiredState":"launched"}`, 204, "="},
		{"PUT", "/fleet/v1/units/web.service", `{"desiredState":"loaded",` + sleep + `}`, 204, "="},
		{"PUT", "/fleet/v1/units/web.service", `{"desiredState":"launched",` + nap + `}`, 201, "="},
		{"GET", "/fleet/v1/units", "", 200, `"machineID":"` + m1},
		{"GET", "/fleet/v1/units/web.service/why", "", 200, `"summary":"on machine ` + m1},
		{"GET", "/fleet/v1/state/web.service", "", 200, `"systemdActiveState":"active"`},
		{"GET", "/fleet/v1/state?machineID=" + m1, "", 200, "web.service"},
		{"GET", "/fleet/v1/state?machineID=" + m2, "", 200, "={}"},
		{"GET", "/fleet/v1/state?unitName=web.service&machineID=" + m1, "", 200, "web.service"},
		{"GET", "/fleet/v1/state?unitName=db.service", "", 200, "={}"},
		{"GET", "/fleet/v1/state/db.service", "", 404, "unit state does not exist"},
		{"PUT", "/fleet/v1/units/web@.service", `{"desiredState":"launched",` + sleep + `}`, 400, "template"},
		{"PUT", "/fleet/v1/units/web@.service", `{` + sleep + `}`, 201, "="},
		{"PUT", "/fleet/v1/units/web@.service", `{"desiredState":"loaded"}`, 400, "template"},
		{"PUT", `/fleet/v1/units/a-b%5Cx2d.service`, `{"name":"a-b\\x2d.service",` + sleep + `}`, 201, "="},
		{"GET", `/fleet/v1/units/a-b%5Cx2d.service`, "", 200, `a-b\\x2d.service`},

		{"PUT", "/fleet/v1/machines/" + m1 + "/drain", `{"reason":"new disk"}`, 204, "="},
		{"PUT", "/fleet/v1/machines/" + m1 + "/drain", `{"reason":"a\u0000b"}`, 400, "control"},
		{"PUT", "/fleet/v1/machines/none/drain", `{}`, 404, "none"},
		{"GET", "/fleet/v1/machines", "", 200, `"drain":{"reason":"new disk"`},
		{"GET", "/fleet/v1/units/web.service", "", 200, m2},
		{"DELETE", "/fleet/v1/machines/" + m1 + "/drain", "", 204, "="},
		{"POST", "/fleet/v1/rebalance", "", 200, `={"moved":0}`},

		{"DELETE", "/fleet/v1/units/web.service", "", 204, "="},
		{"DELETE", "/fleet/v1/units/web.service", "", 404, "unit does not exist"},
		{"GET", "/fleet/v1/units/web.service/why", "", 404, "unit does not exist"},

		{"POST", "/fleet/v1/units", "{}", 405, "GET"},
		{"POST", "/fleet/v1/units/web.service", "{}", 405, "DELETE, GET, PUT"},
		{"DELETE", "/fleet/v1/machines", "", 405, "GET, PATCH"},
		{"PUT", "/fleet/v1/state", "{}", 405, "GET"},
		{"PUT", "/fleet/v1/state/x", "{}", 405, "GET"},
		{"GET", "/fleet/v1", "", 405, ""},
		{"GET", "/", "", 405, ""},
		{"GET", "/fleet/v1/units/", "", 404, `={"error":{"code":404,"message":"404 Not Found"}}`},
		{"GET", "/fleet/v2/units", "", 404, ""},
		{"GET", "/fleet/v1/units/a/b", "", 404, ""},
	} {
		w := ask(h, test.method, test.path, test.body)
		whole, exact := strings.CutPrefix(test.want, "=")
		if w.Code != test.code || exact && w.Body.String() != whole || !strings.Contains(w.Body.String(), whole) {
			t.Errorf("%s %s %.80s: %d %s; want %d %s", test.method, test.path, test.body, w.Code, w.Body, test.code, test.want)
		}
		if w.Code >= 400 && (w.Header().Get("Content-Type") != "application/json" || !strings.HasPrefix(w.Body.String(), fmt.Sprintf(`{"error":{"code":%d,"message":"`, w.Code))) {
			t.Errorf("%s %s: the error is %s %s", test.method, test.path, w.Header(), w.Body)
		}
	}
}

func TestMetadata(t *testing.T) {
	many := strings.Repeat(`{"op":"remove","path":"/x/metadata/a"},`, 1001)
	for _, test := range []struct {
		body string
		code int
		want string // of the first machine
	}{
		{`[]`, 204, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/metadata/disk","value":"ssd"}]`, 204, "map[disk:ssd region:eu]"},
		{`[{"op":"replace","path":"/` + m1 + `/metadata/region","value":{"value":"us"}}]`, 204, "map[region:us]"},
		{`[{"op":"remove","path":"/` + m1 + `/metadata/region"},{"op":"add","path":"/` + m1 + `/metadata/a.b-c_9","value":"x"}]`, 204, "map[a.b-c_9:x]"},
		{`[{"op":"remove","path":"/` + m1 + `/metadata/region"},{"op":"add","path":"/none/metadata/a","value":"x"}]`, 404, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/metadata/disk"}]`, 400, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/metadata/disk","value":null}]`, 400, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/metadata/disk","value":["x"]}]`, 400, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/metadata/disk","value":"a\nb"}]`, 400, "map[region:eu]"},
		{`[{"op":"test","path":"/` + m1 + `/metadata/disk","value":"x"}]`, 400, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/disk","value":"x"}]`, 400, "map[region:eu]"},
		{`[{"op":"add","path":"/` + m1 + `/metadata/a b","value":"x"}]`, 400, "map[region:eu]"},
		{`{}`, 400, "map[region:eu]"},
		{`[` + strings.TrimSuffix(many, ",") + `]`, 400, "map[region:eu]"},
	} {
		c := newCluster()
		w := ask(api.Handler(c, api.Config{Log: quiet()}), "PATCH", "/fleet/v1/machines", test.body)
		all, _ := c.Machines(t.Context())
		if got := fmt.Sprint(all[0].Metadata); w.Code != test.code || got != test.want {
			t.Errorf("%.200s: %d %s, %s", test.body, w.Code, w.Body, got)
		}
	}
}

func TestErrorsOfTheCluster(t *testing.T) {
	for err, code := range map[error]int{
		schema.ErrUnavailable: 503, schema.ErrConflict: 409, schema.ErrInvalid: 400, errors.New("broken"): 500,
	} {
		c := newCluster()
		c.Fails = fmt.Errorf("for a test: %w", err)
		var log bytes.Buffer
		h := api.Handler(c, api.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		for _, request := range []string{"GET units", "GET machines", "GET state", "GET units/a.service", "GET state/a.service", "GET units/a.service/why",
			"PUT units/a.service", "DELETE units/a.service", "PUT machines/x/drain", "DELETE machines/x/drain", "POST rebalance", "PATCH machines"} {
			method, path, _ := strings.Cut(request, " ")
			body := ""
			if method == "PUT" {
				body = `{"desiredState":"launched"}`
			} else if method == "PATCH" {
				body = `[{"op":"remove","path":"/x/metadata/a"}]`
			}
			if w := ask(h, method, "/fleet/v1/"+path, body); w.Code != code || !strings.Contains(w.Body.String(), "for a test") {
				t.Errorf("%s with %v: %d %s", request, err, w.Code, w.Body)
			}
		}
		want := 6 // those that would change something
		if code >= 500 {
			want = 12
		}
		if n := strings.Count(log.String(), "for a test"); n != want {
			t.Errorf("%d lines of log for %v, want %d:\n%s", n, err, want, &log)
		}
	}
}

func TestWhoMay(t *testing.T) {
	var log bytes.Buffer
	c := newCluster()
	h := api.Handler(c, api.Config{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
		By:  func(r *http.Request) string { return r.Header.Get("Test-User") },
		Allow: func(r *http.Request, write bool) error {
			if user := r.Header.Get("Test-User"); user == "" || write && user != "admin" {
				return fmt.Errorf("%q has not the role for that", user)
			}
			return nil
		},
	})
	for _, test := range []struct {
		user, method, path, body string
		code                     int
	}{
		{"", "GET", "units", "", 403},
		{"reader", "GET", "units", "", 200},
		{"reader", "PUT", "units/a.service", `{` + sleep + `}`, 403},
		{"admin", "PUT", "units/a.service", `{` + sleep + `}`, 201},
		{"reader", "DELETE", "units/a.service", "", 403},
		{"reader", "POST", "rebalance", "", 403},
		{"reader", "PATCH", "machines", "[]", 403},
		{"reader", "PUT", "machines/" + m1 + "/drain", "{}", 403},
		{"admin", "PUT", "machines/" + m1 + "/drain", "{}", 204},
	} {
		if w := ask(h, test.method, "/fleet/v1/"+test.path, test.body, "Test-User", test.user); w.Code != test.code {
			t.Errorf("%+v: %d %s", test, w.Code, w.Body)
		}
	}
	if by := fmt.Sprint(c.By()); by != "[admin admin]" {
		t.Errorf("the cluster was told that %s changed it", by)
	}
	for _, want := range []string{
		`level=WARN msg="cluster not changed" by=reader from=192.0.2.1:1234 method=DELETE path=/fleet/v1/units/a.service code=403`,
		`level=INFO msg="cluster changed" by=admin from=192.0.2.1:1234 method=PUT path=/fleet/v1/units/a.service code=201 did="new version 7dc08eb, wanted inactive"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, &log)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 7 {
		t.Errorf("%d lines of log for 7 requests to change something:\n%s", n, &log)
	}
}

func TestWebPagesChangeNothing(t *testing.T) {
	h := api.Handler(newCluster(), api.Config{Log: quiet()})
	if w := ask(h, "POST", "/fleet/v1/rebalance", "", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestTaken submits units with names of units that the machine has.
func TestTaken(t *testing.T) {
	has := map[string]string{"docker.service": "/usr/lib/systemd/system/docker.service", "getty@.service": "/usr/lib/systemd/system/getty@.service"}
	fails := error(nil)
	cluster := newCluster()
	h := api.Handler(cluster, api.Config{Log: quiet(), Taken: func(_ context.Context, name string) (string, error) { return has[name], fails }})
	const options = `{"options":[{"section":"Service","name":"ExecStart","value":"/bin/true"}]}`
	put := func(name string) *httptest.ResponseRecorder {
		return ask(h, "PUT", "/fleet/v1/units/"+name, options, "Content-Type", "application/json")
	}
	for name, path := range has {
		if w := put(name); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), path) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := put("mine.service"); w.Code != http.StatusCreated {
		t.Errorf("mine.service: %d %s", w.Code, w.Body)
	}
	// A unit of the cluster stays one, and can be stopped, if a machine gets one of its name later.
	has["mine.service"] = "/etc/systemd/system/mine.service"
	if w := ask(h, "PUT", "/fleet/v1/units/mine.service", `{"desiredState":"loaded"}`, "Content-Type", "application/json"); w.Code != http.StatusNoContent {
		t.Errorf("mine.service is there: %d %s", w.Code, w.Body)
	}
	if fails = errors.New("systemd is not there"); put("other.service").Code != http.StatusInternalServerError {
		t.Error("other.service is taken, although systemd was not asked")
	}
}

// TestBodies sends bodies of several types, and some that have a key twice.
func TestBodies(t *testing.T) {
	h := api.Handler(newCluster(), api.Config{Log: quiet()})
	const patch = `[{"op":"add","path":"/` + m1 + `/metadata/a","value":"b"}]`
	const unit = `{"options":[{"section":"Service","name":"ExecStart","value":"/bin/true"}]}`
	for _, test := range []struct {
		method, path, body, kind string
		code                     int
	}{
		{"PATCH", "machines", patch, "", 415},
		{"PATCH", "machines", patch, "text/plain", 415},
		{"PATCH", "machines", patch, "application/x-www-form-urlencoded", 415},
		{"PATCH", "machines", patch, "application/json", 204},
		{"PATCH", "machines", patch, "application/json-patch+json; charset=utf-8", 204},
		{"PUT", "units/a.service", unit, "", 415},
		{"PUT", "units/a.service", unit, "application/json-patch+json", 415},
		{"PUT", "units/a.service", unit, "application/json", 201},
		{"PUT", "units/b.service", `{"options":[{"section":"Service","name":"ExecStart","value":"/bin/true"}],"options":[]}`, "application/json", 400},
		{"PUT", "units/b.service", `{"options":[{"section":"X-Fleet","name":"MachineID","value":"a","Value":"b"}]}`, "application/json", 400},
		{"PUT", "units/b.service", unit + unit, "application/json", 400},
		{"PATCH", "machines", `[{"op":"add","path":"/` + m1 + `/metadata/a","value":{"value":"b","value":"c"}}]`, "application/json", 400},
		{"PUT", "units/c.service", `{"options":[{"section":"X-Fleet","name":"MachineMetadata","value":"k=v=w"}]}`, "application/json", 400},
	} {
		if w := ask(h, test.method, "/fleet/v1/"+test.path, test.body, "Content-Type", test.kind); w.Code != test.code {
			t.Errorf("%s %s %s (%s): %d %s, want %d", test.method, test.path, test.body, test.kind, w.Code, w.Body, test.code)
		}
	}
}
