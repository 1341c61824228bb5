package daemon

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the metrics of the machine's membership and of its API.
type Metrics struct {
	member   prometheus.Gauge
	losses   prometheus.Counter
	requests *prometheus.HistogramVec
}

// NewMetrics returns metrics that count from zero.
func NewMetrics() *Metrics {
	return &Metrics{
		member: prometheus.NewGauge(prometheus.GaugeOpts{Name: "fleet_member", Help: "Whether the machine is in the cluster: it holds a lease."}),
		losses: prometheus.NewCounter(prometheus.CounterOpts{Name: "fleet_lease_losses_total", Help: "How often the machine's lease ended without its doing."}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fleet_api_request_seconds", Help: "How long requests to the API took.", Buckets: prometheus.DefBuckets,
		}, []string{"method", "code"}),
	}
}

// Collectors returns all metrics.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.member, m.losses, m.requests}
}

func (m *Metrics) joined() { m.member.Set(1) }

func (m *Metrics) left() {
	m.member.Set(0)
	m.losses.Inc()
}

// handler returns a handler of the API whose requests are measured.
func (m *Metrics) handler(h http.Handler) http.Handler {
	return promhttp.InstrumentHandlerDuration(m.requests, h)
}
