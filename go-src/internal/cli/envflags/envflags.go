// Package envflags gives the flags of a command environment variables.
package envflags

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Set sets the flags that the command line did not: --etcd-cafile from PREFIX_ETCD_CAFILE,
// if lookup, such as os.LookupEnv, has that. The error names the variables that their
// flags do not take.
func Set(flags *pflag.FlagSet, prefix string, lookup func(name string) (string, bool)) (err error) {
	flags.VisitAll(func(flag *pflag.Flag) {
		name := prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || flag.Changed {
			return
		}
		if problem := flags.Set(flag.Name, value); problem != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, problem))
		}
	})
	return err
}

// NotEmpty looks a variable up in the environment. An empty one is none.
func NotEmpty(name string) (string, bool) {
	value := os.Getenv(name)
	return value, value != ""
}
