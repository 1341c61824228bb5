package fleettest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// units has the units of the histories, with the options of their files.
var units = map[string]string{
	"web@1.service": "Conflicts=web@*.service", "web@2.service": "Conflicts=web@*.service", "web@3.service": "Conflicts=web@*.service",
	"side.service": "MachineOf=web@1.service", "half.service": "MachineMetadata=half=two", "bound.service": "MachineID=b",
	"global.service": "Global=true", "globalhalf.service": "Global=true\nMachineMetadata=half=one", "new.service": "Replaces=plain1.service",
	"first.service": "Global=true\nConflicts=global.service web@1.service", "globalother.service": "Global=true\nConflicts=globalhalf.service",
	"plain1.service": "", "plain2.service": "", "plain3.service": "",
	"front.service": "Requires=back.service", "back.service": "Conflicts=front.service",
}

// requirements has the requirements of these units.
var requirements = func() map[string]unitfile.Requirements {
	all := map[string]unitfile.Requirements{}
	for name := range units {
		n, err := unitfile.ParseName(name)
		if err != nil {
			panic(err)
		}
		if all[name], err = unitfile.Of(schema.Unit{Options: options(name)}).Requirements(n); err != nil {
			panic(err)
		}
	}
	return all
}()

// has reports whether a unit is wanted on machines.
func (w *world) has(name string) bool {
	return w.wanted[name] != "" && w.wanted[name] != schema.Inactive
}

// options returns the options of one of these units.
func options(name string) (all []schema.UnitOption) {
	for line := range strings.SplitSeq(units[name], "\n") {
		if key, value, ok := strings.Cut(line, "="); ok {
			section := "X-Fleet"
			if key == "Requires" {
				section = "Unit"
			}
			all = append(all, schema.UnitOption{Section: section, Name: key, Value: value})
		}
	}
	return all
}

// submit submits one of several versions of a unit.
func (w *world) submit(name, state string) {
	version := w.random.IntN(3)
	w.note("submit %s, version %d, %s", name, version, state)
	options := append(options(name), schema.UnitOption{Section: "Service", Name: "ExecStart", Value: fmt.Sprint("/bin/sleep ", version)})
	w.change(w.registry.Create(context.Background(), "test", schema.Unit{Name: name, Options: options, DesiredState: state}))
}

// change accepts the errors that a change of a healthy cluster may return.
func (w *world) change(err error) {
	if err != nil && !errors.Is(err, schema.ErrNotFound) && !errors.Is(err, schema.ErrConflict) {
		w.fail("the API: %v", err)
	}
}
