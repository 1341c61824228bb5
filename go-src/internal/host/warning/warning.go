// Package warning logs what fails again and again without filling the log.
package warning

import (
	"log/slog"
	"time"
)

// Repeat is how often the same warning is logged.
const Repeat = time.Minute

// Repeated is a warning that comes up in each of many attempts. Its zero value is ready for use, by one
// goroutine.
type Repeated struct {
	text string
	at   time.Time
}

// Warn logs a message with an error, unless the last one had the same error and is not older than Repeat.
func (r *Repeated) Warn(message string, err error, attributes ...any) {
	if err.Error() == r.text && time.Since(r.at) < Repeat {
		return
	}
	r.text, r.at = err.Error(), time.Now()
	slog.Warn(message, append(attributes, "error", err)...)
}

// Over says that the last attempt has succeeded: the next failure is logged at once.
func (r *Repeated) Over() { *r = Repeated{} }
