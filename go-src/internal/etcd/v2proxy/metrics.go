package v2proxy

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	waits     prometheus.Gauge
	conflicts prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "etcd2_proxy_requests_total",
			Help: "Requests about keys that were answered, by method and HTTP status.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "etcd2_proxy_request_seconds",
			Help:    "How long requests about keys took, waits left out.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}, []string{"method"}),
		waits: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "etcd2_proxy_waits",
			Help: "Requests that wait for events now.",
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "etcd2_proxy_conflicts_total",
			Help: "Transactions that were begun anew because of another write.",
		}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.waits, m.conflicts)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
