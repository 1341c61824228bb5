package daemon

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	all := prometheus.NewRegistry()
	all.MustRegister(m.Collectors()...)
	m.joined()
	m.handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/fleet/v1/nothing", nil))
	m.left()
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			is[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{"fleet_member": 0, "fleet_lease_losses_total": 1, "fleet_api_request_seconds 404 get": 1} {
		if got, there := is[name]; !there || got != want {
			t.Errorf("%s is %g, want %g; there are %v", name, got, want, is)
		}
	}
}
