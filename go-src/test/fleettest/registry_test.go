package fleettest

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// TestRegistriesBehind changes the same units through two registries in turn. Their copies of the
// cluster are up to a second behind; each sees what the other one did.
func TestRegistriesBehind(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) { registriesBehind(t, seed) })
	}
}

func registriesBehind(t *testing.T, seed uint64) {
	etcd := NewEtcd()
	var registries []*registry.Registry
	for i := range uint64(2) {
		client := etcd.NewClient(seed + i)
		client.Disturb(time.Second, 0)
		registries = append(registries, registry.New(store.New(client, store.DefaultPrefix)))
		defer registries[i].Close()
		if all, err := registries[i].Units(t.Context()); err != nil || len(all) != 0 {
			t.Fatalf("at the beginning: %v, %v", all, err)
		}
	}
	a, b := registries[0], registries[1]
	ctx := t.Context()
	states := func(want string) error {
		for _, r := range registries {
			all, err := r.Units(ctx)
			is := ""
			for _, u := range all {
				is += u.Name + " " + u.DesiredState + " "
			}
			if err != nil || is != want {
				return fmt.Errorf("units are %q, want %q, error %v", is, want, err)
			}
		}
		return nil
	}
	unit := schema.Unit{Name: "x.service", DesiredState: schema.Launched, Options: []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/true"}}}
	for i, step := range []func() error{
		func() error { return a.Create(ctx, "test", unit) },
		func() error { return b.SetDesired(ctx, "test", unit.Name, schema.Loaded) },
		func() error { return states("x.service loaded ") },
		func() error { return a.SetDesired(ctx, "test", unit.Name, schema.Launched) },
		func() error { return b.SetDesired(ctx, "test", unit.Name, schema.Loaded) }, // its copy may say that it is
		func() error { return states("x.service loaded ") },
		func() error { return b.Destroy(ctx, "test", unit.Name) },
		func() error {
			if err := a.SetDesired(ctx, "test", unit.Name, schema.Launched); !errors.Is(err, schema.ErrNotFound) {
				return fmt.Errorf("of a unit that was destroyed: %v", err)
			}
			return nil
		},
		func() error { return states("") },
		func() error { return a.Create(ctx, "test", unit) },
		func() error { return b.Create(ctx, "test", unit) },
		func() error { return states("x.service launched ") },
	} {
		if err := step(); err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, i, err)
		}
	}
}

// TestRegistryUnused makes requests at the moment when the copy of the cluster is dropped because
// nobody has used it. Meanwhile etcd has advanced, so that the copy has to follow.
func TestRegistryUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := NewEtcd().NewClient(1)
		fleet := registry.New(store.New(client, store.DefaultPrefix))
		defer fleet.Close()
		for range 100 {
			if _, err := client.Put(t.Context(), "elsewhere", ""); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := fleet.Machines(t.Context()); err != nil || time.Since(began) > time.Second {
				t.Fatalf("a request took %v: %v", time.Since(began), err)
			}
			sleep(t.Context(), 5*time.Minute)
		}
	})
}
