package datasource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Options say how patient Select is. The zero value is good.
type Options struct {
	// Wait is how long Select takes at most: 5 minutes by default.
	Wait time.Duration
	// Grace is how long an answer is held back because sources that go before it may
	// still answer: 10 seconds by default, counted from the first answer.
	Grace time.Duration
	// Report is told why a source has nothing so far, if it is not nil: at the first
	// failure and whenever the reason changes. It is not called after Select returned.
	Report func(source Source, err error)
}

// The pauses between two questions to the same source double from the first to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Select asks all sources at once and returns what the first of them in the given order
// has. A source that fails is asked again, with growing pauses, unless asking again does
// not help. While it is, it holds back the answers of sources after it for no longer than
// the grace time, so that a metadata server that is not there does not hold the boot.
//
// A source that answers without user-data has answered. One that is ErrInvalid or
// ErrTooLarge has not: those after it count. If none answers, the error says of each why,
// and is ErrAbsent only if all are.
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

// attempt is one answer of a source.
type attempt struct {
	source int
	data   *Data
	err    error
}

// ask asks a source until it answers for good.
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

// selection is what is known of the sources so far.
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

// isDecided tells whether no more attempt can change the result.
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

// result returns the first data, or why there is none. The cause is why the sources that
// never answered were not waited for.
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
