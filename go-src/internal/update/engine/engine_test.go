package engine

import (
	"context"
	"testing"
	"time"

	"coreos/internal/boot/slot"
	"coreos/internal/update/status"
)

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	d := w.machine()
	interval, err := d.Attempt(context.Background(), false)
	if err != nil || interval != 1234*time.Second {
		t.Errorf("no update: %v, %v", interval, err)
	}
	w.wantOperation(d, status.Idle, "")
	w.publish("1.1.0", "1.0.0")
	if interval, err = d.Attempt(context.Background(), false); err != nil || interval != 1234*time.Second {
		t.Errorf("%v, %v", interval, err)
	}
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	w.wantEvents("started success 1.1.0", "finished success 1.1.0", "complete success 1.1.0")
	// Nothing more happens before the restart, but the daemon may be restarted.
	d = w.machine()
	w.settle(d)
	w.wantOperation(d, status.NeedReboot, "1.1.0")
	if _, err := d.Attempt(context.Background(), false); err != nil {
		t.Error(err)
	}
	w.wantEvents()

	d = w.boot(true)
	if w.running != slot.B || w.config.Version != "1.1.0" {
		t.Fatalf("slot %s with %s runs", w.running, w.config.Version)
	}
	w.settle(d)
	w.wantOperation(d, status.Idle, "")
	w.wantEvents("complete rebooted 1.1.0")

	// The next update goes into slot A.
	w.publish("1.2.0", "")
	_, err = d.Attempt(context.Background(), false)
	w.must(err)
	d = w.boot(true)
	w.settle(d)
	if w.running != slot.A || w.config.Version != "1.2.0" {
		t.Errorf("slot %s with %s runs", w.running, w.config.Version)
	}
}
