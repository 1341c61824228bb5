package datasource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Options are the time limits of Select. The zero value has the defaults.
type Options struct {
	// Wait is the time limit of Select; by default 5 minutes.
	Wait time.Duration
	// Grace is how long an answer waits for sources with a higher priority; by default 10
	// seconds after the first answer.
	Grace time.Duration
	// Report is called, if it is not nil, with the error of a source at its first failure
	// and whenever the error changes. It is not called after Select has returned.
	Report func(source Source, err error)
}

// The pauses between two requests to the same source double from the first to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Select asks all sources concurrently, and returns the answer of the first source in the
// given order that has one. It asks a source that fails again, with growing pauses, unless
// the error is permanent. Answers of later sources wait for it no longer than Grace, so
// that a metadata server that does not exist does not delay the boot.
//
// An answer without user-data is an answer. ErrInvalid and ErrTooLarge are not: later
// sources are used. If no source answers, the error has the errors of all sources, and is
// ErrAbsent only if all are.
func Select(ctx context.Context, options Options, sources ...Source) (*Data, error) {
	if options.Wait == 0 {
		options.Wait = 5 * time.Minute
	}
	if options.Grace == 0 {
		options.Grace = 10 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, options.Wait, fmt.Errorf("no answer within %v", options.Wait))
	defer cancel()
	attempts := make(chan attempt)
	for i, s := range sources {
		go ask(ctx, i, s, attempts)
	}
	s := selection{sources: sources, last: make([]attempt, len(sources)), report: options.Report}
	var grace <-chan time.Time
	for !s.isDecided() {
		select {
		case a := <-attempts:
			s.add(a)
			if a.data != nil && grace == nil {
				grace = time.After(options.Grace)
			}
		case <-grace:
			return s.result(nil)
		case <-ctx.Done():
			return s.result(context.Cause(ctx))
		}
	}
	return s.result(nil)
}

// attempt is the result of one request to a source.
type attempt struct {
	source int
	data   *Data
	err    error
}

// ask asks a source until the result is final.
func ask(ctx context.Context, i int, s Source, attempts chan<- attempt) {
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: lastPause, Multiplier: 2,
		RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	pauses.Reset()
	for {
		data, err := s.Fetch(ctx)
		select {
		case attempts <- attempt{i, data, err}:
		case <-ctx.Done():
			return
		}
		if isFinal(err) {
			return
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
			return
		}
	}
}

// selection is the state of all sources.
type selection struct {
	sources []Source
	last    []attempt
	report  func(Source, error)
}

func (s *selection) add(a attempt) {
	before := s.last[a.source].err
	s.last[a.source] = a
	if a.err != nil && s.report != nil && (before == nil || before.Error() != a.err.Error()) {
		s.report(s.sources[a.source], a.err)
	}
}

// isDecided reports whether no further attempt can change the result.
func (s *selection) isDecided() bool {
	for _, a := range s.last {
		if a.data != nil {
			return true
		}
		if a.err == nil || !isFinal(a.err) {
			return false
		}
	}
	return true
}

// result returns the first answer, or the errors of all sources. cause is the error of
// sources that did not answer in time.
func (s *selection) result(cause error) (*Data, error) {
	if len(s.sources) == 0 {
		return nil, errors.New("no configuration: there is no source to ask")
	}
	var reasons []error
	allAbsent := true
	for i, a := range s.last {
		if a.data != nil {
			return a.data, nil
		}
		if a.err == nil {
			a.err = fmt.Errorf("%s: %w", s.sources[i].Name(), cause)
		}
		allAbsent = allAbsent && errors.Is(a.err, ErrAbsent)
		reasons = append(reasons, a.err)
	}
	if !allAbsent {
		for i, reason := range reasons {
			if errors.Is(reason, ErrAbsent) {
				reasons[i] = errors.New(reason.Error())
			}
		}
	}
	return nil, fmt.Errorf("no configuration: %w", errors.Join(reasons...))
}
