// Package omahatest has a small Omaha server for tests. It offers one version to all
// machines and records their events.
package omahatest

import (
	"context"
	"slices"
	"sync"

	"coreos/internal/update/omaha"
)

// Server implements omaha.Updater.
type Server struct {
	// Interval is the seconds after which machines shall ask again.
	Interval int

	mu      sync.Mutex
	version string
	urls    []string
	events  []omaha.EventRequest
	told    chan struct{} // closed at the next event
}

// Offer sets the version that the server offers, and its repositories; "" is for none.
func (s *Server) Offer(version string, urls ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.urls = version, urls
}

// Events returns the events that machines have reported, and forgets them.
func (s *Server) Events() []omaha.EventRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

// Wait waits until machines have reported n events or the context ends, and returns the
// events as Events does.
func (s *Server) Wait(ctx context.Context, n int) []omaha.EventRequest {
	for {
		s.mu.Lock()
		if s.told == nil {
			s.told = make(chan struct{})
		}
		enough, told := len(s.events) >= n, s.told
		s.mu.Unlock()
		if enough || ctx.Err() != nil {
			return s.Events()
		}
		select {
		case <-told:
		case <-ctx.Done():
		}
	}
}

// Check implements omaha.Updater.
func (s *Server) Check(_ *omaha.Request, app *omaha.AppRequest) (*omaha.UpdateCheckResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app.ID != omaha.CoreOSAppID || app.MachineID == "" {
		return nil, omaha.ErrUnknownApp
	}
	if s.version == "" || app.Version == s.version {
		return &omaha.UpdateCheckResponse{Status: omaha.StatusNoUpdate, PollInterval: s.Interval}, nil
	}
	response := &omaha.UpdateCheckResponse{Status: omaha.StatusOK, PollInterval: s.Interval, Manifest: &omaha.Manifest{Version: s.version}}
	for _, url := range s.urls {
		response.URLs = append(response.URLs, omaha.URL{CodeBase: url})
	}
	return response, nil
}

// Event implements omaha.Updater.
func (s *Server) Event(_ *omaha.Request, _ *omaha.AppRequest, event *omaha.EventRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = slices.Concat(s.events, []omaha.EventRequest{*event})
	if s.told != nil {
		close(s.told)
		s.told = nil
	}
	return nil
}

// Ping implements omaha.Updater.
func (s *Server) Ping(*omaha.Request, *omaha.AppRequest) error { return nil }

// Words describes events in a word or two each: "complete error 1.1.0 unhealthy:x".
func Words(events []omaha.EventRequest) []string {
	words := make([]string, 0, len(events))
	for _, e := range events {
		text := map[omaha.EventType]string{omaha.EventDownloadStarted: "started", omaha.EventDownloadFinished: "finished", omaha.EventUpdateComplete: "complete"}[e.Type] +
			map[omaha.EventResult]string{omaha.EventError: " error ", omaha.EventSuccess: " success ", omaha.EventSuccessReboot: " rebooted ", omaha.EventDeferred: " deferred "}[e.Result] + e.NextVersion
		if e.Reason != "" {
			text += " " + e.Reason
		}
		words = append(words, text)
	}
	return words
}
