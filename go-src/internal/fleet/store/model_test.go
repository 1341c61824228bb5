package store

import (
	"maps"
	"reflect"
	"testing"
)

// TestModelHolds adds and removes assignments: Holds always has the same ones as Assignments.
func TestModelHolds(t *testing.T) {
	assignment := []byte(Encode(Assignment{Hash: "h", Target: "launched"}))
	put := func(key string) Event { return Event{Key: "agent/" + key, Value: assignment, Revision: 1} }
	m := NewModel()
	for i, step := range []struct {
		batch Batch
		want  map[string]map[string]bool
	}{
		{Batch{Reset: true, Events: []Event{put("a/x"), put("a/y"), put("b/x")}}, map[string]map[string]bool{"a": {"x": true, "y": true}, "b": {"x": true}}},
		{Batch{Events: []Event{put("a/x")}}, map[string]map[string]bool{"a": {"x": true, "y": true}, "b": {"x": true}}},
		{Batch{Events: []Event{{Key: "agent/b/x"}, {Key: "agent/c/x"}}}, map[string]map[string]bool{"a": {"x": true, "y": true}}},
		{Batch{Events: []Event{{Key: "agent/a/y", Value: []byte("damaged")}}}, map[string]map[string]bool{"a": {"x": true}}},
		{Batch{Reset: true, Events: []Event{put("c/z")}}, map[string]map[string]bool{"c": {"z": true}}},
		{Batch{Events: []Event{{Key: "agent/c/z"}}}, map[string]map[string]bool{}},
	} {
		m.Apply(step.batch)
		if !reflect.DeepEqual(m.Holds, step.want) {
			t.Errorf("step %d: %v, want %v", i, m.Holds, step.want)
		}
		inverted := map[string]map[string]bool{}
		for unit, machines := range m.Assignments {
			for id := range maps.Keys(machines) {
				if inverted[id] == nil {
					inverted[id] = map[string]bool{}
				}
				inverted[id][unit] = true
			}
		}
		if !reflect.DeepEqual(m.Holds, inverted) {
			t.Errorf("step %d: Holds has %v, Assignments %v", i, m.Holds, inverted)
		}
	}
}
