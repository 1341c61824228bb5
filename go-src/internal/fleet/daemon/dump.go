package daemon

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"coreos/internal/fleet/api"
)

// dumpTime bounds the reading of a dump.
const dumpTime = 10 * time.Second

// dumpStates writes the state of the cluster to each writer, until the context ends.
func dumpStates(ctx context.Context, writers <-chan io.Writer, cluster api.Cluster) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-writers:
			if err := dumpState(ctx, w, cluster); err != nil {
				slog.Warn("the state could not be written", "error", err)
			}
		}
	}
}

// dumpState writes the state of the cluster as JSON.
func dumpState(ctx context.Context, w io.Writer, cluster api.Cluster) error {
	ctx, stop := context.WithTimeout(ctx, dumpTime)
	defer stop()
	machines, err := cluster.Machines(ctx)
	if err != nil {
		return err
	}
	units, err := cluster.Units(ctx)
	if err != nil {
		return err
	}
	states, err := cluster.States(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(map[string]any{"machines": machines, "units": units, "states": states})
}
