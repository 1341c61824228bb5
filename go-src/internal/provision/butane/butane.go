// Package butane translates Butane configs, which people write, into Ignition configs. See
// https://coreos.github.io/butane/specs/.
package butane

import (
	"fmt"

	butane "github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"

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
