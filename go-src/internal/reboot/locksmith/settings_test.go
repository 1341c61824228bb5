package locksmith

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/semaphore"
)

func TestReadSettings(t *testing.T) {
	for text, test := range map[string]struct {
		want    Settings
		window  string
		problem string
	}{
		"": {want: Settings{Strategy: BestEffort, HookTimeout: hookTimeout}},
		"REBOOT_STRATEGY=off LOCKSMITHD_METRICS=:1 LOCKSMITHD_STEAL_AFTER=24h LOCKSMITHD_HOOK_TIMEOUT=1m": {
			want: Settings{Strategy: Off, Metrics: ":1", StealAfter: 24 * time.Hour, HookTimeout: time.Minute}},
		"REBOOT_WINDOW_START=14:00 REBOOT_WINDOW_LENGTH=1h":                                      {want: Settings{Strategy: BestEffort, HookTimeout: hookTimeout}, window: "14:00 for 1h"},
		"REBOOT_WINDOW_START=14:00 REBOOT_WINDOW_LENGTH=1h LOCKSMITHD_REBOOT_WINDOW_START=15:00": {want: Settings{Strategy: BestEffort, HookTimeout: hookTimeout}, window: "15:00 for 1h"},
		"REBOOT_STRATEGY=sometimes":                                                              {problem: "etcd-lock, reboot, off or best-effort"},
		"REBOOT_WINDOW_START=14:00":                                                              {problem: "both or none"},
		"REBOOT_WINDOW_START=25:00 REBOOT_WINDOW_LENGTH=1h":                                      {problem: "25:00"},
		"LOCKSMITHD_STEAL_AFTER=1":                                                               {problem: "LOCKSMITHD_STEAL_AFTER"},
		"LOCKSMITHD_HOOK_TIMEOUT=-1s":                                                            {problem: "LOCKSMITHD_HOOK_TIMEOUT"},
	} {
		env := map[string]string{}
		for _, field := range strings.Fields(text) {
			name, value, _ := strings.Cut(field, "=")
			env[name] = value
		}
		got, err := ReadSettings(func(name string) string { return env[name] })
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s: error %v", text, err)
			}
			continue
		}
		window := ""
		if got.Window != nil {
			window = got.Window.String()
		}
		got.Window = nil
		if err != nil || got != test.want || window != test.window {
			t.Errorf("%s: %+v, window %q, %v", text, got, window, err)
		}
	}
}

// TestSettingsAsPeopleWriteThem has spaces where systemd keeps them.
func TestSettingsAsPeopleWriteThem(t *testing.T) {
	env := map[string]string{
		"REBOOT_STRATEGY": "reboot ", "LOCKSMITHD_STEAL_AFTER": "1 day", "LOCKSMITHD_HOOK_TIMEOUT": "5m ",
		"REBOOT_WINDOW_START": "Mon-Fri 02:00 ", "REBOOT_WINDOW_LENGTH": "2 hours",
	}
	got, err := ReadSettings(func(name string) string { return env[name] })
	if err != nil || got.Strategy != Reboot || got.StealAfter != 24*time.Hour || got.HookTimeout != 5*time.Minute || got.Window.String() != "Mon-Fri 02:00 for 2 hours" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMetrics(t *testing.T) {
	var m Metrics
	s := semaphore.New()
	_ = s.Lock("m2", semaphore.Holder{To: "2.0.0"})
	_ = s.Fail("m2", "panic")
	m.Set(Status{State: coordinator.RebootPlanned, Waits: true, Lock: s, Trouble: true})
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.Collectors()...)
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	want := `
# HELP locksmith_failed_machines How many machines keep the lock because a version failed on them.
# TYPE locksmith_failed_machines gauge
locksmith_failed_machines 1
# HELP locksmith_lock_holders How many machines of the group hold the lock.
# TYPE locksmith_lock_holders gauge
locksmith_lock_holders 1
# HELP locksmith_state 1 for the state in which the daemon is.
# TYPE locksmith_state gauge
locksmith_state{state="reboot-planned"} 1
locksmith_state{state="rebooting"} 0
locksmith_state{state="running"} 0
# HELP locksmith_unreachable_total How often etcd or update-engine could not be asked.
# TYPE locksmith_unreachable_total counter
locksmith_unreachable_total 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "locksmith_failed_machines", "locksmith_lock_holders", "locksmith_state", "locksmith_unreachable_total"); err != nil {
		t.Error(err)
	}
}
