package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/api/apitest"
	"coreos/internal/fleet/client"
	"coreos/internal/fleet/schema"
	"coreos/internal/host/bounded"
)

const m1, m2 = "1111111111111111aaaaaaaaaaaaaaaa", "2222222222222222bbbbbbbbbbbbbbbb"

func newCluster() *apitest.Cluster {
	c := new(apitest.Cluster)
	c.Join(schema.Machine{ID: m1, PrimaryIP: "10.0.0.1", Metadata: map[string]string{"region": "eu"}})
	c.Join(schema.Machine{ID: m2, PrimaryIP: "10.0.0.2"})
	return c
}

func unit(name, state string) schema.Unit {
	return schema.Unit{Name: name, DesiredState: state, Options: []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/sleep 3000"}}}
}

// serve serves a cluster on a unix socket, over TCP and over TLS, and returns a client for each.
func serve(t *testing.T, cluster api.Cluster) map[string]*client.Client {
	t.Helper()
	h := api.Handler(cluster, api.Config{Log: slog.New(slog.DiscardHandler)})
	socket := filepath.Join(t.TempDir(), "fleet.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	t.Cleanup(func() { _ = server.Close(); plain.Close(); secure.Close() })
	clients := map[string]*client.Client{}
	for name, endpoint := range map[string]string{"unix": "unix://" + socket, "http": plain.URL, "https": secure.URL} {
		c := client.Config{Timeout: 10 * time.Second}
		if name == "https" {
			c.TLS = secure.Client().Transport.(*http.Transport).TLSClientConfig
		}
		if clients[name], err = client.New(endpoint, c); err != nil {
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
		u := unit(name+`-\x2d@1.service`, schema.Launched)
		check := func(what string, err error) {
			if err != nil {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		check("set", c.Set(ctx, u))
		got, err := c.Unit(ctx, u.Name)
		check("unit", err)
		if u.CurrentState, u.MachineID = schema.Launched, m1; !reflect.DeepEqual(got, u) {
			t.Errorf("%s: %+v, want %+v", name, got, u)
		}
		states, err := c.StatesOf(ctx, u.Name)
		check("states", err)
		if len(states) != 1 || states[0].Name != u.Name || states[0].Hash != "7dc08eb00f0c705e84a61e030d98e8cc3c994954" {
			t.Errorf("%s: states %+v", name, states)
		}
		check("drain", c.Drain(ctx, m1, schema.DrainRequest{Reason: "new disk"}))
		why, err := c.Why(ctx, u.Name)
		check("why", err)
		if why.MachineID != m2 {
			t.Errorf("%s: why %+v", name, why)
		}
		check("undrain", c.Undrain(ctx, m1))
		check("metadata", c.SetMetadata(ctx, []schema.MetadataChange{{MachineID: m2, Key: "a", Value: name}, {MachineID: m1, Key: "region"}}))
		machines, err := c.Machines(ctx)
		check("machines", err)
		if len(machines) != 2 || machines[1].Metadata["a"] != name || len(machines[0].Metadata) != 0 {
			t.Errorf("%s: machines %+v", name, machines)
		}
		_, err = c.Rebalance(ctx)
		check("rebalance", err)
		check("destroy", c.Destroy(ctx, u.Name))
		if err := c.Destroy(ctx, u.Name); !errors.Is(err, schema.ErrNotFound) || err.Error() != "unit does not exist" {
			t.Errorf("%s: destroyed again: %v", name, err)
		}
	}
	cluster.Fails = schema.ErrUnavailable
	if _, err := clients["unix"].Units(ctx); !errors.Is(err, schema.ErrUnavailable) {
		t.Errorf("without etcd: %v", err)
	}
}

func TestClientFollowsPages(t *testing.T) {
	cluster := newCluster()
	for i := range 250 {
		if err := cluster.Create(t.Context(), "test", unit(fmt.Sprintf("web@%03d.service", i), schema.Launched)); err != nil {
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
		"etcd://me:s3cret@host":     "etcd://xxxxx@host",
		"http://me:s3/cret@host":    "http://xxxxx@host",
	} {
		if _, err := client.New(endpoint, client.Config{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

// TestServersThatAreNotFleetd gives the client answers that no fleetd sends.
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
		"does not end": func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(schema.UnitPage{NextPageToken: "ZAACAA=="})
		},
	}
	for want, answer := range answers {
		server := httptest.NewServer(answer)
		config := client.Config{Timeout: 200 * time.Millisecond}
		if want == "does not end" {
			config.Timeout = time.Minute
		}
		c, err := client.New(server.URL, config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Units(context.Background()); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, schema.ErrNotFound) {
			t.Errorf("want an error with %q, not %v", want, err)
		}
		server.Close()
	}
	c, err := client.New("unix:///none/fleet.sock", client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Units(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "no answer from fleetd at unix:///none/fleet.sock: dial unix") {
		t.Errorf("without a socket: %v", err)
	}
}

// TestLargeAnswer has a server whose answer does not end.
func TestLargeAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part := bytes.Repeat([]byte(" "), 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Config{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Machines(t.Context()); !errors.Is(err, bounded.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}
