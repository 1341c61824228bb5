package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Systemd is the machine's systemd, by D-Bus.
type Systemd struct{ *systemd.Conn }

// Reload is for Units.
func (s Systemd) Reload(ctx context.Context) error {
	if err := s.ReloadContext(ctx); err != nil {
		return fmt.Errorf("have systemd read its units: %w", err)
	}
	return nil
}

// Enable is for Units.
func (s Systemd) Enable(ctx context.Context, name string, runtime bool) (bool, error) {
	_, changes, err := s.EnableUnitFilesContext(ctx, []string{name}, runtime, true)
	if err != nil || len(changes) == 0 {
		return false, err
	}
	return true, s.Reload(ctx)
}

// jobWait bounds how long a job is waited for: one that is ordered after this program
// would never end.
const jobWait = time.Minute

// Do is for Units.
func (s Systemd) Do(ctx context.Context, verb, name string) error {
	call, ok := map[string]func(context.Context, string, string, chan<- string) (int, error){
		"start": s.StartUnitContext, "stop": s.StopUnitContext, "restart": s.RestartUnitContext, "reload": s.ReloadUnitContext,
		"try-restart": s.TryRestartUnitContext, "reload-or-restart": s.ReloadOrRestartUnitContext, "reload-or-try-restart": s.ReloadOrTryRestartUnitContext,
	}[verb]
	if !ok {
		return errors.New("systemd knows no such verb")
	}
	done := make(chan string, 1)
	if _, err := call(ctx, name, "replace", done); err != nil {
		if strings.Contains(verb, "try-") && isNoSuchUnit(err) {
			return nil
		}
		return err
	}
	select {
	case <-time.After(jobWait):
		slog.Warn("the job is not waited for any longer", "unit", name, "verb", verb)
		return nil
	case result := <-done:
		if result != "done" && result != "skipped" {
			return fmt.Errorf("the job ended with %q", result)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RunScript starts a unit of its own for a script, which may take as long as it likes.
func (s Systemd) RunScript(ctx context.Context, name, path string) error {
	properties := []systemd.Property{
		systemd.PropDescription("Script from the machine's user-data"), systemd.PropExecStart([]string{path}, false), systemd.PropType("oneshot"),
	}
	if _, err := s.StartTransientUnitContext(ctx, name, "replace", properties, nil); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return nil
}

func isNoSuchUnit(err error) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == "org.freedesktop.systemd1.NoSuchUnit"
}
