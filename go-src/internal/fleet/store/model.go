package store

import (
	"log/slog"
	"maps"
	"strings"
)

// Model is the cluster as the keys below Cluster say, kept by batches of Follow. Records
// that cannot be read count as not there.
type Model struct {
	Revision int64
	Units    map[string]Record[Unit]
	Jobs     map[string]Record[Job]
	Machines map[string]Record[Machine]
	Metadata map[string]Record[map[string]string]
	Drains   map[string]Record[Drain]
	// Assignments are by unit and machine.
	Assignments map[string]map[string]Record[Assignment]
	// Holds has the units of the assignments of each machine.
	Holds map[string]map[string]bool
	// Rebalance is the revision at which somebody asked for it, 0 if nobody did.
	Rebalance int64
}

// Record is a value with the revision of etcd that wrote it.
type Record[T any] struct {
	Value    T
	Revision int64
}

// NewModel returns an empty one.
func NewModel() *Model {
	m := &Model{}
	m.reset()
	return m
}

func (m *Model) reset() {
	*m = Model{
		Units: map[string]Record[Unit]{}, Jobs: map[string]Record[Job]{}, Machines: map[string]Record[Machine]{},
		Metadata: map[string]Record[map[string]string]{}, Drains: map[string]Record[Drain]{},
		Assignments: map[string]map[string]Record[Assignment]{}, Holds: map[string]map[string]bool{},
	}
}

// Apply takes a batch over.
func (m *Model) Apply(batch Batch) {
	if batch.Reset {
		m.reset()
	}
	m.Revision = max(m.Revision, batch.Revision)
	for _, event := range batch.Events {
		if err := m.apply(event); err != nil {
			slog.Warn("a record in etcd cannot be read, and counts as not there", "key", event.Key, "error", err)
		}
	}
}

// Kind is that of a key below Cluster, with what it is of.
func (e Event) Kind() (kind, name string) {
	kind, name, _ = strings.Cut(e.Key, "/")
	return kind, name
}

func (m *Model) apply(event Event) error {
	switch kind, name := event.Kind(); kind {
	case "unit":
		return set(m.Units, name, event)
	case "job":
		return set(m.Jobs, name, event)
	case "machine":
		return set(m.Machines, name, event)
	case "metadata":
		return set(m.Metadata, name, event)
	case "drain":
		return set(m.Drains, name, event)
	case "agent":
		id, unit, _ := strings.Cut(name, "/")
		return m.assign(unit, id, event)
	case "rebalance":
		m.Rebalance = 0
		if event.Value != nil {
			m.Rebalance = event.Revision
		}
	}
	return nil
}

// assign keeps an assignment by its unit and by its machine.
func (m *Model) assign(unit, id string, event Event) error {
	if m.Assignments[unit] == nil {
		m.Assignments[unit] = map[string]Record[Assignment]{}
	}
	err := set(m.Assignments[unit], id, event)
	if _, there := m.Assignments[unit][id]; there {
		if m.Holds[id] == nil {
			m.Holds[id] = map[string]bool{}
		}
		m.Holds[id][unit] = true
		return err
	}
	if delete(m.Holds[id], unit); len(m.Holds[id]) == 0 {
		delete(m.Holds, id)
	}
	if len(m.Assignments[unit]) == 0 {
		delete(m.Assignments, unit)
	}
	return err
}

func set[T any](records map[string]Record[T], name string, event Event) error {
	delete(records, name)
	if event.Value == nil {
		return nil
	}
	value, err := Decode[T](event.Value)
	if err == nil {
		records[name] = Record[T]{value, event.Revision}
	}
	return err
}

// MachineMetadata is what a machine says of itself and what the API said of it.
func (m *Model) MachineMetadata(id string) map[string]string {
	return Overlay(m.Machines[id].Value.Metadata, m.Metadata[id].Value)
}

// Overlay puts the metadata that the API gave to a machine over its own.
func Overlay(own, given map[string]string) map[string]string {
	all := make(map[string]string, len(own)+len(given))
	maps.Copy(all, own)
	maps.Copy(all, given)
	return all
}
