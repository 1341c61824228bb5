package envflags

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestSet(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	file := flags.String("etcd-cafile", "", "")
	group := flags.String("group", "", "")
	flags.Int("size", 1, "")
	if err := flags.Parse([]string{"--group=mine"}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"X_ETCD_CAFILE": "ca.crt", "X_GROUP": "other", "X_SIZE": "large", "GROUP": "none"}
	err := Set(flags, "X", func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err == nil || !strings.Contains(err.Error(), "X_SIZE") || *file != "ca.crt" || *group != "mine" {
		t.Errorf("%q, %q, %v", *file, *group, err)
	}
}

func TestNotEmpty(t *testing.T) {
	t.Setenv("ENVFLAGS_GIVEN", "x")
	t.Setenv("ENVFLAGS_EMPTY", "")
	for name, want := range map[string]bool{"ENVFLAGS_GIVEN": true, "ENVFLAGS_EMPTY": false, "ENVFLAGS_ABSENT": false} {
		if _, ok := NotEmpty(name); ok != want {
			t.Errorf("%s: got %t", name, ok)
		}
	}
}
