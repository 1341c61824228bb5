// Package butane makes configs for Ignition of Butane's, which people write.
// See https://coreos.github.io/butane/specs/.
package butane

import (
	"fmt"

	butane "github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"

	"coreos/internal/provision/ignition"
)

// Translate makes a config for Ignition. Files that the text refers to with "local" lie
// below dir; without dir it may refer to none. The problems are a line each.
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
