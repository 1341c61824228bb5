package agent

import (
	"strings"
	"testing"
)

func TestAdopt(t *testing.T) {
	for _, test := range []struct {
		name, text                       string
		known, stays, runOnce, isStandIn bool
	}{
		{"a.service", "[Service]\nExecStart=/bin/true\n", true, false, false, false},
		{"a.service", "[X-Fleet]\nMachineID=x\n", true, true, false, false},
		{"a.service", "[X-Fleet]\nGlobal=true\n", true, true, false, false},
		{"a.service", "[X-Fleet]\nRunOnce=true\n", true, false, true, false},
		{"a.service", "[X-Fleet]\nNonsense=true\n", true, false, false, false},
		{"a.service", "[Service]\n" + strings.Repeat("x", 3000), false, false, false, false},
		{"a.service", StandIn(), true, true, false, true},
		{"a.target", "[X-Fleet]\nGlobal=true\n", true, false, false, false},
	} {
		found := Found{Text: test.text, Launched: true}
		is := adopt(test.name, found)
		if (is.hash != unknown) != test.known || Stays(test.name, found) != test.stays || is.runOnce != test.runOnce || is.isStandIn() != test.isStandIn || is.run != started {
			t.Errorf("%s with %q is adopted as %+v", test.name, test.text, is)
		}
	}
}
