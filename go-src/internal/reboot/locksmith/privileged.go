package locksmith

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"coreos/internal/host/privsep"
	"coreos/internal/reboot/hooks"
)

// PrivilegedSocket is the socket behind which systemd starts root's part of the daemon.
const PrivilegedSocket privsep.Socket = "/run/coreos/locksmithd.sock"

// The actions of Privileged.
const (
	actionDrain  = "drain"
	actionResume = "resume"
	actionReboot = "reboot"
)

// hookArgument is the argument of the actions that run hooks.
type hookArgument struct {
	Limit time.Duration `json:"limit"` // of each hook, in nanoseconds
}

// Privileged is root's part of the daemon. Its actions are those for which the daemon is there:
// whoever takes the daemon over can restart this machine and have its hooks run while a restart is
// needed, and nothing else.
type Privileged struct {
	// Updates knows whether a restart is needed, and prepares it.
	Updates interface {
		RebootNeeded(context.Context) (bool, error)
		PrepareReboot(context.Context) (kexec bool, err error)
	}
	// Login restarts the machine, unless a program inhibits that.
	Login interface {
		Reboot(ctx context.Context, kexec bool) error
	}
	// Hooks are the hooks that drain the machine, without a limit.
	Hooks hooks.Hooks
}

// Actions returns what the daemon may have done.
func (p Privileged) Actions() map[string]privsep.Action {
	return map[string]privsep.Action{
		actionDrain: func(ctx context.Context, a json.RawMessage) (any, []*os.File, error) {
			return nil, nil, p.drain(ctx, a)
		},
		actionResume: func(ctx context.Context, a json.RawMessage) (any, []*os.File, error) {
			return nil, nil, p.run(ctx, "cancel", a)
		},
		actionReboot: func(ctx context.Context, _ json.RawMessage) (any, []*os.File, error) { return nil, nil, p.reboot(ctx) },
	}
}

// errNotNeeded says that the machine has no reason to restart.
var errNotNeeded = errors.New("no restart is needed: no update waits, and root has not asked for one")

func (p Privileged) needed(ctx context.Context) error {
	needed, err := p.Updates.RebootNeeded(ctx)
	if err == nil && !needed {
		err = errNotNeeded
	}
	return err
}

func (p Privileged) drain(ctx context.Context, argument json.RawMessage) error {
	if err := p.needed(ctx); err != nil {
		return err
	}
	return p.run(ctx, "reboot", argument)
}

func (p Privileged) run(ctx context.Context, hook string, argument json.RawMessage) error {
	var a hookArgument
	if err := json.Unmarshal(argument, &a); err != nil {
		return fmt.Errorf("the limit of hooks: %w", err)
	}
	if a.Limit <= 0 {
		return errors.New("the limit of hooks: want more than nothing")
	}
	p.Hooks.Limit = a.Limit
	if p.Hooks.Launch == nil {
		p.Hooks.Launch = hooks.Outside(a.Limit)
	}
	return p.Hooks.Run(ctx, hook)
}

func (p Privileged) reboot(ctx context.Context) error {
	if err := p.needed(ctx); err != nil {
		return err
	}
	kexec, err := p.Updates.PrepareReboot(ctx)
	if err != nil {
		return err
	}
	return p.Login.Reboot(ctx, kexec)
}
