package repository

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Bounds of version numbers. Whoever has stolen the online key could otherwise sign the
// highest number that there is, so that machines refuse all later states as older.
const (
	// maxJump is how far a version may be ahead of the one that was seen before: a
	// repository that is published every ten minutes gets there in two years.
	maxJump = 100_000
	// maxFirst is the highest version of metadata that a machine sees for the first time.
	maxFirst = 1 << 31
)

// credible reports whether versions that were seen can be true. Systems up to 4891.0.0 took any.
func credible(versions ...int64) bool { return slices.Max(versions) <= maxFirst }

// checkVersion checks a version number against the one that was seen before, 0 for none.
func checkVersion(what string, version, before int64) error {
	highest := int64(maxFirst)
	if before > 0 {
		highest = before + maxJump
	}
	switch {
	case version < 1:
		return fmt.Errorf("%s: %w %d", what, ErrVersion, version)
	case version < before:
		return fmt.Errorf("%s: %w: version %d, version %d was seen", what, ErrOlder, version, before)
	case version > highest:
		return fmt.Errorf("%s: %w: version %d, version %d was seen", what, ErrAhead, version, before)
	}
	return nil
}

// parse reads metadata of a role. It checks all that the TUF library takes for granted, but
// no signature.
func parse[T metadata.Roles](role string, text []byte) (*metadata.Metadata[T], error) {
	what := role + " metadata"
	m := new(metadata.Metadata[T])
	err := guard(func() error { _, err := m.FromBytes(text); return err })
	if err != nil && signedTwice(text) {
		return nil, fmt.Errorf("%s: %w: it has two signatures by one key", what, ErrWrongKey)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", what, ErrMalformed, err)
	}
	spec, problem := "", error(nil)
	switch signed := any(&m.Signed).(type) {
	case *metadata.RootType:
		spec, problem = signed.SpecVersion, checkRoot(signed)
	case *metadata.TimestampType:
		spec, problem = signed.SpecVersion, checkMeta(signed.Meta, "snapshot.json")
	case *metadata.SnapshotType:
		spec, problem = signed.SpecVersion, checkMeta(signed.Meta, "targets.json")
	case *metadata.TargetsType:
		spec, problem = signed.SpecVersion, checkTargets(signed)
	}
	if !strings.HasPrefix(spec, "1.") {
		problem = fmt.Errorf("%w: spec_version %.20q, want 1.x", ErrMalformed, spec)
	}
	if problem != nil {
		return nil, fmt.Errorf("%s: %w", what, problem)
	}
	return m, nil
}

// guard calls a function of the TUF library. That panics on some texts which nobody has signed,
// such as targets with a null among them.
func guard(f func() error) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%w: a value is null or of a wrong kind: %v", ErrMalformed, problem)
		}
	}()
	return f()
}

// signedTwice reports whether metadata has two signatures by one key.
func signedTwice(text []byte) bool {
	var file struct {
		Signatures []struct {
			KeyID string `json:"keyid"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return false
	}
	keys := map[string]bool{}
	for _, s := range file.Signatures {
		keys[s.KeyID] = true
	}
	return len(keys) < len(file.Signatures)
}

func checkRoot(root *metadata.RootType) error {
	for _, role := range Roles {
		if root.Roles[role] == nil {
			return fmt.Errorf("%w: no role %s", ErrMalformed, role)
		}
	}
	if slices.Contains(slices.Collect(maps.Values(root.Keys)), nil) || slices.Contains(slices.Collect(maps.Values(root.Roles)), nil) {
		return fmt.Errorf("%w: a key or a role is null", ErrMalformed)
	}
	return nil
}

func checkMeta(files map[string]*metadata.MetaFiles, want string) error {
	if files[want] == nil {
		return fmt.Errorf("%w: it does not name %s", ErrMalformed, want)
	}
	for name, file := range files {
		switch {
		case file == nil || file.Length < 0:
			return fmt.Errorf("%w: %.80q has no valid description", ErrMalformed, name)
		case file.Version < 1:
			return fmt.Errorf("%.80q: %w %d", name, ErrVersion, file.Version)
		}
	}
	return nil
}

func checkTargets(targets *metadata.TargetsType) error {
	if d := targets.Delegations; d != nil && (len(d.Roles) > 0 || len(d.Keys) > 0 || d.SuccinctRoles != nil) {
		return ErrDelegation
	}
	for name, target := range targets.Targets {
		if target == nil || target.Length < 0 || len(target.Hashes["sha256"]) == 0 {
			return fmt.Errorf("%w: target %.80q has no valid length and SHA-256", ErrMalformed, name)
		}
	}
	return nil
}

// explain translates an error of the TUF library to one of ours.
func explain(err error) error {
	for _, known := range []struct{ theirs, ours error }{
		{&metadata.ErrUnsignedMetadata{}, ErrWrongKey},
		{&metadata.ErrExpiredMetadata{}, ErrExpired},
		{&metadata.ErrBadVersionNumber{}, ErrOlder},
		{&metadata.ErrLengthOrHashMismatch{}, ErrMixed},
		{&metadata.ErrRepository{}, ErrMalformed},
		{&metadata.ErrValue{}, ErrMalformed},
		{&metadata.ErrType{}, ErrMalformed},
	} {
		if errors.Is(err, known.theirs) {
			return fmt.Errorf("%w: %w", known.ours, err)
		}
	}
	return err
}
