package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleet/api"
)

func unit(name, state string) api.Unit {
	return api.Unit{Name: name, DesiredState: state, Options: []api.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/sleep 3000"}}}
}

// serve gives clients of a cluster on a unix socket, on TCP and with TLS.
func serve(t *testing.T, cluster api.Cluster) map[string]*api.Client {
	t.Helper()
	h := api.Handler(cluster, api.Config{Log: quiet()})
	socket := filepath.Join(t.TempDir(), "fleet.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	t.Cleanup(func() { _ = server.Close(); plain.Close(); secure.Close() })
	clients := map[string]*api.Client{}
	for name, endpoint := range map[string]string{"unix": "unix://" + socket, "http": plain.URL, "https": secure.URL} {
		c := api.ClientConfig{Timeout: 10 * time.Second}
		if name == "https" {
			c.TLS = secure.Client().Transport.(*http.Transport).TLSClientConfig
		}
		if clients[name], err = api.NewClient(endpoint, c); err != nil {
			t.Fatal(err)
		}
	}
	return clients
}

func TestClient(t *testing.T) {
	ctx := t.Context()
	cluster := newCluster()
	clients := serve(t, cluster)
	for name, c := range clients {
		u := unit(name+`-\x2d@1.service`, api.Launched)
		check := func(what string, err error) {
			if err != nil {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		check("set", c.Set(ctx, u))
		got, err := c.Unit(ctx, u.Name)
		check("unit", err)
		if u.CurrentState, u.MachineID = api.Launched, m1; !reflect.DeepEqual(got, u) {
			t.Errorf("%s: %+v, want %+v", name, got, u)
		}
		states, err := c.StatesOf(ctx, u.Name)
		check("states", err)
		if len(states) != 1 || states[0].Name != u.Name || states[0].Hash != "7dc08eb00f0c705e84a61e030d98e8cc3c994954" {
			t.Errorf("%s: states %+v", name, states)
		}
		check("drain", c.Drain(ctx, m1, api.DrainRequest{Reason: "new disk"}))
		why, err := c.Why(ctx, u.Name)
		check("why", err)
		if why.MachineID != m2 {
			t.Errorf("%s: why %+v", name, why)
		}
		check("undrain", c.Undrain(ctx, m1))
		check("metadata", c.SetMetadata(ctx, []api.MetadataChange{{MachineID: m2, Key: "a", Value: name}, {MachineID: m1, Key: "region"}}))
		machines, err := c.Machines(ctx)
		check("machines", err)
		if len(machines) != 2 || machines[1].Metadata["a"] != name || len(machines[0].Metadata) != 0 {
			t.Errorf("%s: machines %+v", name, machines)
		}
		_, err = c.Rebalance(ctx)
		check("rebalance", err)
		check("destroy", c.Destroy(ctx, u.Name))
		if err := c.Destroy(ctx, u.Name); !errors.Is(err, api.ErrNotFound) || err.Error() != "unit does not exist" {
			t.Errorf("%s: destroyed again: %v", name, err)
		}
	}
	cluster.Fails = api.ErrUnavailable
	if _, err := clients["unix"].Units(ctx); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("without etcd: %v", err)
	}
}

func TestClientFollowsPages(t *testing.T) {
	cluster := newCluster()
	for i := range 250 {
		if err := cluster.Create(t.Context(), "test", unit(fmt.Sprintf("web@%03d.service", i), api.Launched)); err != nil {
			t.Fatal(err)
		}
	}
	c := serve(t, cluster)["unix"]
	units, err := c.Units(t.Context())
	if err != nil || len(units) != 250 || units[249].Name != "web@249.service" {
		t.Errorf("%d units, %v", len(units), err)
	}
	states, err := c.States(t.Context())
	if err != nil || len(states) != 250 {
		t.Errorf("%d states, %v", len(states), err)
	}
	if states, err := c.StatesOf(t.Context(), "web@249.service"); err != nil || len(states) != 1 {
		t.Errorf("%d states, %v", len(states), err)
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"unix://var/run/fleet.sock": "three slashes",
		"unix://":                   "three slashes",
		"127.0.0.1:49153":           "endpoint",
		"/var/run/fleet.sock":       "does not begin with",
		"":                          "does not begin with",
		"http://":                   "no host",
		"etcd://host":               "does not begin with",
	} {
		if _, err := api.NewClient(endpoint, api.ClientConfig{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

// TestServersThatAreNotFleetd has answers that no fleetd gives.
func TestServersThatAreNotFleetd(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"does not answer as fleetd does: 404": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such page", 404) },
		"does not answer as fleetd does: 403": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"a proxy's"}`)
		},
		"does not answer as fleetd does: 302": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"does not answer as fleetd does: inv": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no answer from fleetd at http://127": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"Client.Timeout":                      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no end": func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(api.UnitPage{NextPageToken: "ZAACAA=="})
		},
	}
	for want, answer := range answers {
		server := httptest.NewServer(answer)
		config := api.ClientConfig{Timeout: 200 * time.Millisecond}
		if want == "no end" {
			config.Timeout = time.Minute
		}
		c, err := api.NewClient(server.URL, config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Units(context.Background()); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, api.ErrNotFound) {
			t.Errorf("want an error with %q, not %v", want, err)
		}
		server.Close()
	}
	c, err := api.NewClient("unix:///none/fleet.sock", api.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Units(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "no answer from fleetd at unix:///none/fleet.sock: dial unix") {
		t.Errorf("without a socket: %v", err)
	}
}
