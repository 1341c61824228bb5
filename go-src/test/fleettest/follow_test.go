package fleettest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
)

// spy is a connection that records the ranges that are read.
type spy struct {
	*Client
	mu     sync.Mutex
	ranges []clientv3.Op
}

func (s *spy) note(key string, options []clientv3.OpOption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = append(s.ranges, clientv3.OpGet(key, options...))
}

func (s *spy) Get(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	s.note(key, options)
	return s.Client.Get(ctx, key, options...)
}

func (s *spy) Watch(ctx context.Context, key string, options ...clientv3.OpOption) clientv3.WatchChan {
	s.note(key, options)
	return s.Client.Watch(ctx, key, options...)
}

// has reports whether a key was in a range that was read.
func (s *spy) has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.ranges, func(op clientv3.Op) bool {
		begin, end := string(op.KeyBytes()), string(op.RangeBytes())
		return key == begin || end != "" && key >= begin && key < end
	})
}

// TestAgentReadsItsOwn gives an agent a unit that needs back.service, in a cluster that also has
// a unit and a machine whose names begin with those of the agent's. It must not read their
// records.
func TestAgentReadsItsOwn(t *testing.T) {
	setLog()
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, 0)
		defer l.stop()
		records := l.records
		l.put("front.service", schema.Launched, 1, schema.UnitOption{Section: "Unit", Name: "Requires", Value: "back.service"})
		for _, name := range []string{"back.service", "back.service.service"} {
			l.write(records.Job(name), store.Job{Target: schema.Launched, Machine: "b"})
			l.write(records.State(name, "b"), store.State{Current: schema.Launched, Active: "active"})
		}
		l.write(records.Assignment("ab", "other.service"), store.Assignment{Target: schema.Launched})
		defer l.session()()
		if runs := l.running(); !slices.Equal(runs, []string{"front.service"}) {
			t.Errorf("running: %v", runs)
		}
		for key, want := range map[string]bool{
			records.Job("back.service"):                true,
			records.State("back.service", "b"):         true,
			records.Metadata("a"):                      true,
			records.Job("back.service.service"):        false,
			records.State("back.service.service", "b"): false,
			records.Metadata("ab"):                     false,
			records.Assignment("ab", "other.service"):  false,
		} {
			if l.client.has(key) != want {
				t.Errorf("%s was read: %t", key, l.client.has(key))
			}
		}
	})
}

// TestHistoryOfMetadata has a global unit that runs where the API has put a disk. It goes on
// while other things change.
func TestHistoryOfMetadata(t *testing.T) {
	setLog()
	synctest.Test(t, func(t *testing.T) {
		n := &pair{newWorld(t, 1)}
		defer n.end()
		n.heal()
		options := []schema.UnitOption{{Section: "X-Fleet", Name: "Global", Value: "true"}, {Section: "X-Fleet", Name: "MachineMetadata", Value: "disk=ssd"}}
		n.change(n.registry.Create(t.Context(), "test", schema.Unit{Name: "globalhalf.service", Options: options, DesiredState: schema.Launched}))
		n.runsAfter(20*time.Second, "no machine has a disk")
		set := func(value string) {
			n.change(n.registry.SetMetadata(t.Context(), "test", []schema.MetadataChange{{MachineID: "c", Key: "disk", Value: value}}))
		}
		set("ssd")
		n.runsAfter(20*time.Second, "one has", "globalhalf.service c")
		before := len(n.log)
		for range 5 {
			n.change(n.registry.SetDrain(t.Context(), "test", "a", &schema.DrainRequest{}))
			sleep(t.Context(), time.Second)
			n.change(n.registry.SetDrain(t.Context(), "test", "a", nil))
			sleep(t.Context(), time.Second)
		}
		n.runsAfter(20*time.Second, "others change", "globalhalf.service c")
		if len(n.log) > before {
			t.Errorf("it was stopped meanwhile: %v", n.log[before:])
		}
		set("")
		n.runsAfter(20*time.Second, "none has")
	})
}
