package engine

import (
	"errors"
	"fmt"
	"strings"

	"coreos/internal/update/release"
	"coreos/internal/update/status"
)

// Errors that say why an offered version is not installed.
var (
	ErrDowngrade  = errors.New("it is older than the running version; ALLOW_DOWNGRADE=true in update.conf permits that")
	ErrPinned     = errors.New("it does not match PIN in update.conf")
	ErrRolledBack = errors.New("it was rolled back on this machine; update_engine_client -update installs it again")
	// ErrNotFollowed: a restart did not lead to it.
	ErrNotFollowed = errors.New("the boot loader did not start it on this machine; see to that, then update_engine_client -update installs it again")
	// ErrSetAside: a person prefers the version that runs.
	ErrSetAside = errors.New("somebody chose the other slot of this machine instead; update_engine_client -update installs it again")

	ErrTooOld   = errors.New("the running version is too old for it; install the version named first")
	ErrUnproven = errors.New("the running slot is not proven healthy yet, so the other slot is still needed")
)

// isPolicy reports whether an error refuses an offer by policy, rather than because
// something failed.
func isPolicy(err error) bool {
	return errors.Is(err, ErrDowngrade) || errors.Is(err, ErrPinned) || errors.Is(err, ErrRolledBack) || errors.Is(err, ErrTooOld) ||
		errors.Is(err, ErrNotFollowed) || errors.Is(err, ErrSetAside)
}

// judge returns an error if the version may not be installed.
func (e *Engine) judge(version string, explicit bool) error {
	switch {
	case !release.ValidVersion(version):
		return fmt.Errorf("%.80q is not a valid version", version)
	case !strings.HasPrefix(version, e.config.Pin):
		return ErrPinned
	case release.Compare(version, e.config.Version) < 0 && !e.config.AllowDowngrade:
		return ErrDowngrade
	case !explicit && e.state.Failed[version] != "":
		return refusal(e.state.Failed[version])
	}
	return nil
}

// refusal returns the error for a version that failed here for a reason.
func refusal(reason string) error {
	switch reason {
	case status.NotFollowed:
		return ErrNotFollowed
	case status.SetAside:
		return ErrSetAside
	default:
		return fmt.Errorf("%w (%s)", ErrRolledBack, reason)
	}
}
