package unitmanager

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"coreos/internal/host/systemd"
)

// connection returns the connection to systemd, a new one if the last was lost.
func (m *Manager) connection(ctx context.Context) (*dbus.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil && m.conn.Connected() {
		return m.conn, nil
	}
	conn, err := systemd.Connect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	updates, lost := make(chan *dbus.PropertiesUpdate, 4096), make(chan error, 1)
	conn.SetPropertiesSubscriber(updates, lost) // before the first signal comes: the library reads it without a lock
	if err := conn.Subscribe(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("systemd reports no changes: %w", err)
	}
	go m.watch(ctx, conn, updates, lost)
	m.conn = conn
	return conn, nil
}

// checkTime is how often the watch checks that the connection still exists.
const checkTime = 10 * time.Second

// watch sends the names of changed units as long as the connection exists.
func (m *Manager) watch(ctx context.Context, conn *dbus.Conn, updates <-chan *dbus.PropertiesUpdate, lost <-chan error) {
	defer conn.Close()
	tick := time.NewTicker(checkTime)
	defer tick.Stop()
	m.allChanged(ctx) // changes before the subscription were missed
	for {
		select {
		case <-ctx.Done():
			return
		case update := <-updates:
			if _, is := update.Changed["ActiveState"]; is {
				m.tell(ctx, update.UnitName)
			}
		case <-lost: // some updates were dropped
			m.allChanged(ctx)
		case <-tick.C:
			if !conn.Connected() {
				_, _ = m.connection(ctx) // the next call reports the error
				return
			}
		}
	}
}

// allChanged sends the names of all units.
func (m *Manager) allChanged(ctx context.Context) {
	entries, err := os.ReadDir(m.units)
	if err != nil {
		return
	}
	for _, entry := range entries {
		m.tell(ctx, entry.Name())
	}
}

func (m *Manager) tell(ctx context.Context, name string) {
	select {
	case m.changes <- name:
	case <-ctx.Done():
	}
}
