package locksmith

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"coreos/internal/reboot/coordinator"
)

// TestInhibitorNeverGoes waits for days for a program that inhibits the restart.
func TestInhibitorNeverGoes(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	in(Reboot, func(t *testing.T, w *world) {
		w.inhibitors = []string{"backup (it runs)"}
		w.start()
		w.after(48 * time.Hour)
		w.need("2.0.0")
		count := func(want int, hours string) {
			t.Helper()
			if got := strings.Count(log.String(), "still runs the old version"); got != want || !strings.Contains(log.String(), hours) {
				t.Errorf("the journal says so %d times, want %d with %q:\n%s", got, want, hours, &log)
			}
			w.want(0, coordinator.RebootPlanned, "waiting for what inhibits a restart: backup (it runs)")
		}
		w.after(23 * time.Hour)
		count(0, "")
		w.after(2 * time.Hour)
		count(1, `hours=24 next=2.0.0 status="waiting for what inhibits a restart: backup (it runs); systemd-inhibit --list names the processes, systemctl start reboot.target restarts all the same"`)
		w.after(24 * time.Hour)
		count(2, "hours=48")
		w.change(func() { w.inhibitors = nil })
		w.after(time.Minute)
		w.want(1, coordinator.Rebooting, "")
	})(t)
}
