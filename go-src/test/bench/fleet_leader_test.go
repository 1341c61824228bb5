package bench

import (
	"fmt"
	"testing"
	"time"

	"coreos/internal/fleet/placement"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitfile"
)

// printLeader prints what leading cost, of the run of one cluster.
func (f *fleet) printLeader(t *testing.T) {
	all, err := scrape(f.leader.metrics)
	if err != nil {
		t.Fatal(err)
	}
	print("leader: planning (fleet_plan_seconds)", all["fleet_plan_seconds_sum"], 0, fmt.Sprintf("s, in %.0f plans", all["fleet_plan_seconds_count"]))
	print("leader: moves", all["fleet_moves_total"], 0, fmt.Sprintf("in %.0f steps", all["fleet_steps_total"]))
	print("leader: processor time of the process", all["process_cpu_seconds_total"], 0, "s")
	print("leader: resident memory", all["process_resident_memory_bytes"]/mib, 0, "MiB")
}

// printEvent prints what an event costs the leader that concerns no unit.
func (f *fleet) printEvent(t *testing.T) {
	const events = 200
	records := store.New(f.etcd.Client(t), store.DefaultPrefix)
	before, err := scrape(f.leader.metrics)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if _, err := records.Put(t.Context(), records.Metadata("nobody"), fmt.Sprintf(`{"n":"%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	after, err := scrape(f.leader.metrics)
	if err != nil {
		t.Fatal(err)
	}
	plans := after["fleet_plan_seconds_count"] - before["fleet_plan_seconds_count"]
	print("leader: planning for an unrelated event", 1000*(after["fleet_plan_seconds_sum"]-before["fleet_plan_seconds_sum"])/plans, 0, "ms")
	print("leader: processor time for an unrelated event", 1000*(after["process_cpu_seconds_total"]-before["process_cpu_seconds_total"])/events, 0, "ms")
}

// printBegin prints the cost of becoming the leader.
func (f *fleet) printBegin(t *testing.T) {
	records, start := store.New(f.etcd.Client(t), store.DefaultPrefix), time.Now()
	lap := func(what string) {
		print("a new leader: "+what, time.Since(start).Seconds(), 0, "s")
		start = time.Now()
	}
	batch, err := records.Read(t.Context(), records.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	lap("reading etcd")
	model := store.NewModel()
	model.Apply(batch)
	lap("decoding")
	placement.New(model).Plan()
	lap("first plan")
}

// printList prints the cost of listing all units by the API, page by page.
func (f *fleet) printList(t *testing.T, units int) {
	cluster := registry.New(store.New(f.etcd.Client(t), store.DefaultPrefix))
	defer cluster.Close()
	for _, what := range []string{"API: the first page of units", "API: a further page of units"} {
		start := time.Now()
		if all, err := cluster.Units(t.Context()); err != nil || len(all) != units {
			t.Fatalf("%d units, %v", len(all), err)
		}
		print(what, 1000*time.Since(start).Seconds(), 0, "ms")
	}
}

// printReconcile prints the cost of looking at a whole cluster, as a new leader does. Upstream
// does it every two seconds.
func printReconcile(units, machines int) {
	model := converged(units, machines)
	fmt.Printf("%d units on %d machines, nothing to do\n", units, machines)
	print("reconcile, from the beginning", fastest(func() {
		if moves := placement.New(model).Plan(); len(moves) != 0 {
			panic(fmt.Sprint("a plan for what is as it has to be: ", moves))
		}
	}), 0, "ms")
	placed := placement.New(model)
	print("reconcile, nothing has changed", fastest(func() { placed.Plan() }), 0, "ms")
}

// fastest is the milliseconds of the fastest of some rounds: the least disturbed by what
// else the machine does.
func fastest(do func()) float64 {
	best := time.Hour
	for range 50 {
		start := time.Now()
		do()
		best = min(best, time.Since(start))
	}
	return float64(best) / float64(time.Millisecond)
}

// converged is a cluster in which each unit is where it has to be.
func converged(units, machines int) *store.Model {
	model := store.NewModel()
	var batch store.Batch
	add := func(key string, record any) {
		batch.Revision++
		batch.Events = append(batch.Events, store.Event{Key: key, Value: []byte(store.Encode(record)), Revision: batch.Revision})
	}
	for i := range machines {
		add("machine/"+fmt.Sprintf("%032x", i), machineRecord(i))
	}
	for i := range units {
		unit := benchUnit(i)
		add("unit/"+unit.Name, store.Unit{Options: unit.Options})
		add("job/"+unit.Name, store.Job{Target: unit.DesiredState, Hash: unitfile.Of(unit).Hash().String()})
	}
	model.Apply(batch)
	batch = store.Batch{Revision: batch.Revision}
	for _, move := range placement.New(model).Plan() {
		job := model.Jobs[move.Unit].Value
		job.Machine = move.To
		add("job/"+move.Unit, job)
		add("agent/"+move.To+"/"+move.Unit, store.Assignment{Hash: job.Hash, Target: job.Target})
	}
	model.Apply(batch)
	return model
}
