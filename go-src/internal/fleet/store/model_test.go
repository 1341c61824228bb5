package store

import (
	"maps"
	"reflect"
	"testing"
)

// TestModelHolds has assignments come and go: what a machine holds is always what the
// assignments say.
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
		turned := map[string]map[string]bool{}
		for unit, machines := range m.Assignments {
			for id := range maps.Keys(machines) {
				if turned[id] == nil {
					turned[id] = map[string]bool{}
				}
				turned[id][unit] = true
			}
		}
		if !reflect.DeepEqual(m.Holds, turned) {
			t.Errorf("step %d: held are %v, assigned %v", i, m.Holds, turned)
		}
	}
}
