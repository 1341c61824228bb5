// Package metrics serves a program's metrics for Prometheus.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Serve serves metrics, with those of the process, at http://ADDRESS/metrics until the
// context ends. ended waits after that until the server has stopped. Without an address,
// Serve does nothing.
func Serve(ctx context.Context, address string, metrics ...prometheus.Collector) (ended func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(append(metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))...)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	var all sync.WaitGroup
	all.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	all.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Warn("the metrics server has stopped", "error", err)
		}
	})
	return all.Wait, nil
}

// Bool returns the value of a gauge for a condition: 1 or 0.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
