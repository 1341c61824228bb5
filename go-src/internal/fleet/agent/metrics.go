package agent

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of an agent.
type Metrics struct {
	known    prometheus.Gauge
	failures prometheus.Counter
}

// NewMetrics returns metrics that count from zero.
func NewMetrics() *Metrics {
	return &Metrics{
		known:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "fleet_agent_units", Help: "Units that this machine has or has to have."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "fleet_agent_failures_total", Help: "Attempts to install, start, stop or remove a unit that failed."}),
	}
}

// Collectors returns all metrics.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.known, m.failures}
}

func (m *Metrics) units(n int) { m.known.Set(float64(n)) }
func (m *Metrics) failed()     { m.failures.Inc() }
