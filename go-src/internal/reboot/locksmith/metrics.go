package locksmith

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"coreos/internal/host/metrics"
	"coreos/internal/reboot/coordinator"
)

// Metrics are the daemon's metrics.
type Metrics struct {
	once    sync.Once
	state   *prometheus.GaugeVec
	gauges  map[string]prometheus.Gauge
	trouble prometheus.Counter
}

var help = map[string]string{
	"locksmith_reboot_needed":                         "1 if an update waits for a restart.",
	"locksmith_reboot_window_start_timestamp_seconds": "When the reboot window that is waited for opens, in seconds since 1970; 0 if none is waited for.",
	"locksmith_lock_waiting":                          "1 if the machine waits for the lock.",
	"locksmith_lock_max":                              "How many machines of the group may hold the lock.",
	"locksmith_lock_holders":                          "How many machines of the group hold the lock.",
	"locksmith_failed_machines":                       "How many machines keep the lock because a version failed on them.",
}

func (m *Metrics) init() {
	m.once.Do(func() {
		m.state = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "locksmith_state", Help: "1 for the state in which the daemon is."}, []string{"state"})
		m.trouble = prometheus.NewCounter(prometheus.CounterOpts{Name: "locksmith_unreachable_total", Help: "How often etcd or update-engine could not be asked."})
		m.gauges = map[string]prometheus.Gauge{}
		for name, text := range help {
			m.gauges[name] = prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: text})
		}
	})
}

// Collectors returns the collectors of the metrics, for a registry.
func (m *Metrics) Collectors() []prometheus.Collector {
	m.init()
	all := []prometheus.Collector{m.state, m.trouble}
	for _, gauge := range m.gauges {
		all = append(all, gauge)
	}
	return all
}

// Set sets the metrics from a status.
func (m *Metrics) Set(s Status) {
	m.init()
	for _, state := range []coordinator.State{coordinator.Running, coordinator.RebootPlanned, coordinator.Rebooting} {
		m.state.WithLabelValues(string(state)).Set(metrics.Bool(s.State == state))
	}
	m.gauges["locksmith_reboot_needed"].Set(metrics.Bool(s.State != coordinator.Running))
	m.gauges["locksmith_lock_waiting"].Set(metrics.Bool(s.Waits))
	window := 0.0
	if !s.Window.IsZero() {
		window = float64(s.Window.Unix())
	}
	m.gauges["locksmith_reboot_window_start_timestamp_seconds"].Set(window)
	if s.Trouble {
		m.trouble.Inc()
	}
	if s.Lock == nil {
		return
	}
	failed := 0
	for _, h := range s.Lock.Details {
		if h.Failed != "" {
			failed++
		}
	}
	m.gauges["locksmith_lock_max"].Set(float64(s.Lock.Max))
	m.gauges["locksmith_lock_holders"].Set(float64(len(s.Lock.Holders)))
	m.gauges["locksmith_failed_machines"].Set(float64(failed))
}
