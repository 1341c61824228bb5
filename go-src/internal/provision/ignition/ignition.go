// Package ignition validates Ignition configs with the code of Ignition. See
// https://coreos.github.io/ignition/specs/.
package ignition

import (
	"errors"
	"fmt"

	"github.com/coreos/ignition/v2/config"
	"github.com/coreos/vcontext/report"
)

// ErrConfig is in the chain of each error about the content of a config.
var ErrConfig = errors.New("not a config that Ignition accepts")

// MaxConfig is the size limit of a config in bytes.
const MaxConfig = 4 << 20

// Validate checks a config of any version of spec 3. Each problem is one line with its
// position in the config. The error is about the problems that Ignition does not accept.
func Validate(text []byte) (problems []string, err error) {
	if len(text) > MaxConfig {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrConfig, len(text), MaxConfig)
	}
	_, r, err := config.Parse(text)
	return Explain(r, err)
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
