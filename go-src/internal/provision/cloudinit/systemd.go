package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"coreos/internal/host/systemd"
)

// Systemd implements Units for this machine, over D-Bus.
type Systemd struct{ *dbus.Conn }

// Reload implements Units.
func (s Systemd) Reload(ctx context.Context) error {
	if err := s.ReloadContext(ctx); err != nil {
		return fmt.Errorf("reload the units of systemd: %w", err)
	}
	return nil
}

// Enable implements Units.
func (s Systemd) Enable(ctx context.Context, name string, runtime bool) (bool, error) {
	_, changes, err := s.EnableUnitFilesContext(ctx, []string{name}, runtime, true)
	if err != nil || len(changes) == 0 {
		return false, err
	}
	return true, s.Reload(ctx)
}

// jobWait is the time limit of waiting for a job: one that systemd orders after this
// program would never end.
const jobWait = time.Minute

// Do implements Units.
func (s Systemd) Do(ctx context.Context, verb, name string) error {
	call, ok := map[string]systemd.Call{
		"start": s.StartUnitContext, "stop": s.StopUnitContext, "restart": s.RestartUnitContext, "reload": s.ReloadUnitContext,
		"try-restart": s.TryRestartUnitContext, "reload-or-restart": s.ReloadOrRestartUnitContext, "reload-or-try-restart": s.ReloadOrTryRestartUnitContext,
	}[verb]
	if !ok {
		return errors.New("systemd has no such command")
	}
	job, err := systemd.Enqueue(ctx, call, name)
	if err != nil {
		if strings.Contains(verb, "try-") && systemd.IsNoSuchUnit(err) {
			return nil
		}
		return err
	}
	limited, stop := context.WithTimeout(ctx, jobWait)
	defer stop()
	err = job.Wait(limited)
	switch {
	case errors.Is(err, systemd.ResultError("skipped")):
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		slog.Warn("a job takes long and is not waited for any longer", "unit", name, "verb", verb)
		return nil
	}
	return err
}

// RunScript starts a transient unit for a script, which has no time limit.
func (s Systemd) RunScript(ctx context.Context, name, path string) error {
	properties := []dbus.Property{
		dbus.PropDescription("Script from the machine's user-data"), dbus.PropExecStart([]string{path}, false), dbus.PropType("oneshot"),
	}
	if _, err := s.StartTransientUnitContext(ctx, name, "replace", properties, nil); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return nil
}
