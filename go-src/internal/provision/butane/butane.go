// Package butane translates Butane configs, which people write, into Ignition configs. See
// https://coreos.github.io/butane/specs/.
package butane

import (
	"fmt"

	butane "github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"
	"github.com/coreos/butane/config/util"
	"github.com/coreos/vcontext/path"
	"github.com/coreos/vcontext/report"
	yaml "github.com/coreos/vcontext/yaml"

	"coreos/internal/provision/ignition"
)

// Translate returns the Ignition config. Files that the text includes by "local" are in
// dir; if dir is empty, the text may include none. Each problem is one line.
func Translate(text []byte, dir string) (config []byte, problems []string, err error) {
	if len(text) > ignition.MaxConfig {
		return nil, nil, fmt.Errorf("%w: it has %d bytes, more than %d", ignition.ErrConfig, len(text), ignition.MaxConfig)
	}
	config, r, err := butane.TranslateBytes(text, common.TranslateBytesOptions{
		TranslateOptions: common.TranslateOptions{FilesDir: dir},
		Raw:              true,
	})
	problems, err = ignition.Explain(r, err)
	return config, problems, err
}

// Validate checks a config as Translate does, and whether this system can apply the result.
func Validate(text []byte, dir string) (problems []string, err error) {
	config, problems, err := Translate(text, dir)
	if err != nil {
		return problems, err
	}
	machine, err := ignition.CheckMachine(config)
	if err != nil {
		return problems, fmt.Errorf("%w: %w", ignition.ErrConfig, err)
	}
	ours, err := ignition.Explain(located(machine, text), nil)
	return append(problems, ours...), err
}

// located gives the entries of a report about the Ignition config their places in the Butane
// config, whose keys are the same in snake case.
func located(r report.Report, text []byte) report.Report {
	for i, entry := range r.Entries {
		place := path.New("yaml")
		for _, part := range entry.Context.Path {
			if key, ok := part.(string); ok {
				part = util.Snake(key)
			}
			place = place.Append(part)
		}
		r.Entries[i].Context = place
	}
	if tree, err := yaml.UnmarshalToContext(text); err == nil {
		r.Correlate(tree)
	}
	return r
}
