package store

import (
	"log/slog"
	"maps"
	"strings"
)

// Model is a copy of the records below Cluster, which batches of Follow keep up to date. A
// record that cannot be read counts as missing.
type Model struct {
	Revision int64
	Units    map[string]Record[Unit]
	Jobs     map[string]Record[Job]
	Machines map[string]Record[Machine]
	Metadata map[string]Record[map[string]string]
	Drains   map[string]Record[Drain]
	// Assignments are by unit and machine.
	Assignments map[string]map[string]Record[Assignment]
	// Holds has the units that are assigned to each machine.
	Holds map[string]map[string]bool
	// Rebalance is the revision of a request to rebalance, 0 if there is none.
	Rebalance int64
}

// Record is a value with the revision that wrote it.
type Record[T any] struct {
	Value    T
	Revision int64
}

// NewModel returns an empty model.
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

// Apply applies a batch.
func (m *Model) Apply(batch Batch) {
	if batch.Reset {
		m.reset()
	}
	m.Revision = max(m.Revision, batch.Revision)
	for _, event := range batch.Events {
		if err := m.apply(event); err != nil {
			slog.Warn("a record in etcd cannot be read, and counts as missing", "key", event.Key, "error", err)
		}
	}
}

// Kind splits a key below Cluster into the kind of record and the rest.
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

// assign applies the event of an assignment, in Assignments and in Holds.
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

// MachineMetadata returns the metadata of a machine: its own with those of the API over them.
func (m *Model) MachineMetadata(id string) map[string]string {
	return Overlay(m.Machines[id].Value.Metadata, m.Metadata[id].Value)
}

// Overlay returns a machine's own metadata with those that the API has given over them.
func Overlay(own, given map[string]string) map[string]string {
	all := make(map[string]string, len(own)+len(given))
	maps.Copy(all, own)
	maps.Copy(all, given)
	return all
}
