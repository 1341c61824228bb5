package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"coreos/internal/host/metrics"
	"coreos/internal/update/status"
)

// operations are the values of the label operation.
var operations = []status.Operation{status.Idle, status.Checking, status.Available, status.Downloading, status.Verifying, status.Finalizing, status.NeedReboot, status.Reporting}

// Metrics collects the engine's metrics for Prometheus from its status.
type Metrics struct{ Status func() status.Status }

var (
	operationMetric = prometheus.NewDesc("update_engine_operation", "1 for what the engine does.", []string{"operation"}, nil)
	infoMetric      = prometheus.NewDesc("update_engine_info", "1, with the version that runs, and the one that waits for a restart.", []string{"version", "next_version"}, nil)
	provenMetric    = prometheus.NewDesc("update_engine_proven", "1 if the running version was found to be healthy.", nil, nil)
	checkedMetric   = prometheus.NewDesc("update_engine_last_check_timestamp_seconds", "When the server last answered, in seconds since 1970; 0 if it never did.", nil, nil)
	rebootMetric    = prometheus.NewDesc("update_engine_reboot_needed", "1 if an update waits for a restart.", nil, nil)
	errorMetric     = prometheus.NewDesc("update_engine_last_attempt_failed", "1 if the last attempt ended with an error.", nil, nil)
	refusedMetric   = prometheus.NewDesc("update_engine_rolled_back_versions", "How many versions were rolled back on this machine.", nil, nil)
	progressMetric  = prometheus.NewDesc("update_engine_progress_ratio", "How much of an update was fetched, from 0 to 1.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m Metrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m Metrics) Collect(to chan<- prometheus.Metric) {
	s := m.Status()
	gauge := func(what *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, labels...)
	}
	for _, operation := range operations {
		gauge(operationMetric, metrics.Bool(s.Operation == operation), string(operation))
	}
	gauge(infoMetric, 1, s.Version, s.NewVersion)
	gauge(provenMetric, metrics.Bool(s.Proven))
	gauge(rebootMetric, metrics.Bool(s.Operation == status.NeedReboot))
	gauge(errorMetric, metrics.Bool(s.LastError != ""))
	gauge(refusedMetric, float64(rolledBackOf(s)))
	gauge(progressMetric, s.Progress())
	checked := 0.0
	if !s.LastChecked.IsZero() {
		checked = float64(s.LastChecked.Unix())
	}
	gauge(checkedMetric, checked)
}

// rolledBackOf counts the versions that were rolled back, without those that somebody set
// aside.
func rolledBackOf(s status.Status) int {
	n := 0
	for _, reason := range s.Refused {
		if reason != status.SetAside {
			n++
		}
	}
	return n
}
