package member

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// How often a command says what it waits for: first after changedTime, then so often if that has changed.
const (
	changedTime = 30 * time.Second
	repeatTime  = time.Minute
)

// Waiting returns a function for backoff.WithNotify. It says what the caller waits for, for how long
// at most, and the error of the last attempt.
func Waiting(ctx context.Context, say func(format string, args ...any), what string) backoff.Notify {
	var last string
	said := time.Now()
	return func(err error, _ time.Duration) {
		quiet := time.Since(said)
		if quiet < changedTime || err.Error() == last && quiet < repeatTime {
			return
		}
		said, last = time.Now(), err.Error()
		if end, limited := ctx.Deadline(); limited {
			say("waiting for %s, for at most %s: %v", what, time.Until(end).Round(time.Second), err)
			return
		}
		say("waiting for %s: %v", what, err)
	}
}
