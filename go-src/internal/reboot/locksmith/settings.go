package locksmith

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"coreos/internal/host/window"
)

// Settings are the settings of the daemon, which update.conf and drop-ins set as
// environment variables.
type Settings struct {
	Strategy                Strategy
	Window                  *window.Window
	StealAfter, HookTimeout time.Duration
	// Metrics is the address on which metrics are served, empty for none.
	Metrics string
}

// hookTimeout is the default time limit of a hook.
const hookTimeout = 10 * time.Minute

// ReadSettings reads REBOOT_STRATEGY, LOCKSMITHD_REBOOT_WINDOW_START and _LENGTH (or
// REBOOT_WINDOW_START and _LENGTH), LOCKSMITHD_STEAL_AFTER, LOCKSMITHD_HOOK_TIMEOUT and
// LOCKSMITHD_METRICS from an environment, such as os.Getenv.
func ReadSettings(env func(string) string) (Settings, error) {
	s := Settings{Strategy: Strategy(strings.TrimSpace(env("REBOOT_STRATEGY"))), HookTimeout: hookTimeout, Metrics: env("LOCKSMITHD_METRICS")}
	switch s.Strategy {
	case "":
		s.Strategy = BestEffort
	case EtcdLock, Reboot, Off, BestEffort:
	default:
		return s, fmt.Errorf("REBOOT_STRATEGY=%.40q: want %s, %s, %s or %s", s.Strategy, EtcdLock, Reboot, Off, BestEffort)
	}
	for name, to := range map[string]*time.Duration{"LOCKSMITHD_STEAL_AFTER": &s.StealAfter, "LOCKSMITHD_HOOK_TIMEOUT": &s.HookTimeout} {
		if value := env(name); value != "" {
			var err error
			if *to, err = window.ParseLength(value); err != nil || *to <= 0 {
				return s, fmt.Errorf("%s=%.40q: want a duration such as 24h", name, value)
			}
		}
	}
	setting := func(part string) string {
		if value := env("LOCKSMITHD_REBOOT_WINDOW_" + part); value != "" {
			return value
		}
		return env("REBOOT_WINDOW_" + part)
	}
	start, length := setting("START"), setting("LENGTH")
	if (start == "") != (length == "") {
		return s, errors.New("set both or none of LOCKSMITHD_REBOOT_WINDOW_START and LOCKSMITHD_REBOOT_WINDOW_LENGTH")
	}
	var err error
	if start != "" {
		s.Window, err = window.Parse(start, length)
	}
	return s, err
}
