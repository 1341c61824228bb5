package unitfile

import (
	"maps"
	"testing"
)

func TestGlobalConflicts(t *testing.T) {
	conflicts := func(patterns ...string) Requirements { return Requirements{Conflicts: patterns} }
	for name, test := range map[string]struct {
		globals map[string]Requirements
		want    map[string]string
	}{
		"no conflict":           {map[string]Requirements{"a": {}, "b": conflicts("c")}, map[string]string{"a": "", "b": ""}},
		"the first by name":     {map[string]Requirements{"a": {}, "b": conflicts("a")}, map[string]string{"a": "", "b": "a"}},
		"the other names it":    {map[string]Requirements{"a": conflicts("b"), "b": {}}, map[string]string{"a": "", "b": "a"}},
		"pattern, not itself":   {map[string]Requirements{"w@1": conflicts("w@*"), "w@2": conflicts("w@*")}, map[string]string{"w@1": "", "w@2": "w@1"}},
		"one without a place":   {map[string]Requirements{"a": {}, "b": conflicts("a", "c"), "c": {}}, map[string]string{"a": "", "b": "a", "c": ""}},
		"one that does not fit": {map[string]Requirements{"a": {Metadata: map[string][]string{"disk": {"ssd"}}}, "b": conflicts("a")}, map[string]string{"b": ""}},
	} {
		if is := GlobalConflicts(test.globals, map[string]string{"disk": "hdd"}); !maps.Equal(is, test.want) {
			t.Errorf("%s: %v, want %v", name, is, test.want)
		}
	}
}
