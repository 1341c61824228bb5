package locksmith

import (
	"log/slog"
	"time"

	"coreos/internal/reboot/coordinator"
)

// remindAfter is how often the journal says that an update still waits for a restart, and why: an
// inhibitor may never go, and nobody else minds it.
const remindAfter = 24 * time.Hour

// reminder says now and then that a restart is still waited for. Its zero value is ready for use.
type reminder struct{ since, said time.Time }

// look takes note of a status of the daemon.
func (r *reminder) look(s Status) {
	if s.State != coordinator.RebootPlanned {
		*r = reminder{}
		return
	}
	if r.since.IsZero() {
		r.since, r.said = time.Now(), time.Now()
	}
	if time.Since(r.said) < remindAfter {
		return
	}
	r.said = time.Now()
	slog.Warn("this machine still runs the old version, since its restart has to wait", "hours", int(time.Since(r.since)/time.Hour), "next", s.Next, "status", s.Text)
}
