package unitmanager

import (
	"context"
	"fmt"
	"time"
)

// wantReload makes systemd read its unit files again, and waits for that. Calls at the same time
// share one reload.
func (m *Manager) wantReload(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case m.reloads <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-done
}

// collectTime is how long a reload waits for more calls. A reload reads all unit files, so one for
// many changes is cheaper than one for each.
const collectTime = 30 * time.Millisecond

func (m *Manager) reload(ctx context.Context) {
	for {
		var waiting []chan error
		select {
		case <-ctx.Done():
			return
		case done := <-m.reloads:
			waiting = append(waiting, done)
		}
		timer := time.NewTimer(collectTime)
		for more := true; more; {
			select {
			case done := <-m.reloads:
				waiting = append(waiting, done)
			case <-timer.C:
				more = false
			}
		}
		err := m.reloadNow(ctx)
		for _, done := range waiting {
			done <- err
		}
	}
}

func (m *Manager) reloadNow(ctx context.Context) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("systemd cannot reload its unit files: %w", err)
	}
	return nil
}
