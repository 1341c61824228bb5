package locksmith

import (
	"strings"
	"testing"
	"time"
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
