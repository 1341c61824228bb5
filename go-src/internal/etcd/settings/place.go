package settings

import (
	"maps"
	"slices"
	"strings"

	"coreos/internal/etcd/envfile"
)

// place is where variables are set: a file, or a setting of the unit.
type place struct {
	name   string
	file   *envfile.File
	values map[string]string
}

func (p place) lookup(name string) (value string, set bool) {
	if p.file != nil {
		return p.file.Lookup(name)
	}
	value, set = p.values[name]
	return value, set
}

func (p place) names() []string {
	if p.file != nil {
		return p.file.Names()
	}
	return slices.Sorted(maps.Keys(p.values))
}

func isVariable(name string) bool { return strings.HasPrefix(name, "ETCD_") }

// flags reads the arguments of etcd: --name=VALUE, --name VALUE, and --name for true, each with one
// dash or two.
func flags(args []string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case hasValue:
		case i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			i++
			value = args[i]
		default:
			value = "true"
		}
		all["ETCD_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
	}
	return all
}
