package machine

import "testing"

// TestInside checks that a process that only inherits the environment does not count as
// isolated: it would mount over /proc and /run of the host.
func TestInside(t *testing.T) {
	for _, test := range []struct {
		environment string
		pid         int
		want        bool
	}{{"1", 1, true}, {"1", 4711, false}, {"", 1, false}, {"", 4711, false}} {
		if got := inside(test.environment, test.pid); got != test.want {
			t.Errorf("%q, process %d: %t, want %t", test.environment, test.pid, got, test.want)
		}
	}
}
