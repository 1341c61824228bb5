package leader

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coreos/internal/host/metrics"
)

// Metrics are the metrics of a Candidate.
type Metrics struct {
	leading      prometheus.Gauge
	plans        prometheus.Histogram
	moves, steps prometheus.Counter
}

// NewMetrics returns metrics that count from zero.
func NewMetrics() *Metrics {
	return &Metrics{
		leading: prometheus.NewGauge(prometheus.GaugeOpts{Name: "fleet_leader", Help: "1 on the leader, which assigns units to machines."}),
		plans:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fleet_plan_seconds", Help: "Time to decide what has to be moved.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}),
		moves:   prometheus.NewCounter(prometheus.CounterOpts{Name: "fleet_moves_total", Help: "Units that were assigned to a machine or taken from one."}),
		steps:   prometheus.NewCounter(prometheus.CounterOpts{Name: "fleet_steps_total", Help: "Changes to units and their assignments that were written to etcd."}),
	}
}

// Collectors returns all metrics.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.leading, m.plans, m.moves, m.steps}
}

func (m *Metrics) leads(is bool) { m.leading.Set(metrics.Bool(is)) }
func (m *Metrics) step()         { m.steps.Inc() }

func (m *Metrics) planned(took time.Duration, moves int) {
	m.plans.Observe(took.Seconds())
	m.moves.Add(float64(moves))
}
