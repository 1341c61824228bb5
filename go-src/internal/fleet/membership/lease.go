package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"coreos/internal/fleet/store"
)

// remember writes a lease, and the time until which it lasts, to the LeaseFile.
func (m *Member) remember(lease clientv3.LeaseID, until time.Duration) {
	if m.LeaseFile == "" {
		return
	}
	if err := renameio.WriteFile(m.LeaseFile, fmt.Appendf(nil, "%x %d\n", int64(lease), int64(until)), 0o600, renameio.WithTempDir(filepath.Dir(m.LeaseFile))); err != nil {
		slog.Warn("the lease cannot be kept for the next run", "error", err)
	}
}

// Recall returns what a run wrote to its LeaseFile, zeros if there is no file. A machine that
// has restarted has none: /run is empty, and the clock begins at zero.
func Recall(file string) (lease clientv3.LeaseID, until time.Duration) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, 0
	}
	var id, nanoseconds int64
	if _, err := fmt.Sscanf(string(data), "%x %d", &id, &nanoseconds); err != nil {
		slog.Warn("the lease of the last run cannot be read", "file", file, "error", err)
		return 0, 0
	}
	return clientv3.LeaseID(id), time.Duration(nanoseconds)
}

// Revoke ends a lease. It is no error if the lease has ended already.
func Revoke(ctx context.Context, s *store.Store, lease clientv3.LeaseID) error {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	if _, err := s.Revoke(ctx, lease); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	return nil
}

// Boottime reads CLOCK_BOOTTIME.
func Boottime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // every Linux kernel has this clock
	}
	return time.Duration(t.Nano())
}
