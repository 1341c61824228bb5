// Package ignition validates Ignition configs with the code of Ignition. See
// https://coreos.github.io/ignition/specs/.
package ignition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/ignition/v2/config"
	vjson "github.com/coreos/vcontext/json"
	"github.com/coreos/vcontext/report"
)

// ErrConfig is in the chain of each error about the content of a config.
var ErrConfig = errors.New("not a config that this system can apply")

// MaxConfig is the size limit of a config in bytes.
const MaxConfig = 4 << 20

// Validate checks a config of any version of spec 3, and whether this system can apply it. Each
// problem is one line with its position in the config. The error says that the machine would not
// start.
func Validate(text []byte) (problems []string, err error) {
	if len(text) > MaxConfig {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrConfig, len(text), MaxConfig)
	}
	_, r, err := config.Parse(text)
	if err == nil && !r.IsFatal() {
		machine, err := CheckMachine(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if tree, err := vjson.UnmarshalToContext(text); err == nil {
			machine.Correlate(tree)
		}
		r.Merge(machine)
	}
	problems, err = Explain(r, err)
	if version := specOf(text); strings.HasPrefix(version, "2.") || version == "1" {
		err = fmt.Errorf("%w; it is a config of spec %s, for Container Linux: this system takes spec 3", err, version)
	}
	return problems, err
}

// specOf returns the version in a config, "1" for the first spec, "" if there is none.
func specOf(text []byte) string {
	var c struct {
		IgnitionVersion int
		Ignition        struct{ Version string }
	}
	if json.Unmarshal(text, &c) != nil || c.IgnitionVersion != 1 {
		return c.Ignition.Version
	}
	return "1"
}

// Explain converts a report about a config to lines and an error.
func Explain(r report.Report, err error) (problems []string, refused error) {
	for _, entry := range r.Entries {
		problems = append(problems, line(entry))
	}
	switch {
	case r.IsFatal():
		return problems, ErrConfig
	case err != nil:
		return problems, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return problems, nil
}

func line(entry report.Entry) string {
	place, key := "", ""
	if p := entry.Marker.StartP; p != nil {
		place = fmt.Sprintf("line %d, column %d: ", p.Line, p.Column)
	}
	if entry.Context.Len() > 0 {
		key = entry.Context.String() + ": "
	}
	return fmt.Sprintf("%s%s: %s%s", place, entry.Kind, key, entry.Message)
}
