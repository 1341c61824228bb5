package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// readUnit reads the unit of a request, and its file if the request has options.
func readUnit(r *http.Request) (schema.Unit, *unitfile.File, error) {
	var u schema.Unit
	if err := checkType(r, jsonType); err != nil {
		return u, nil, err
	}
	if err := decode(r, &u); err != nil {
		return u, nil, err
	}
	if path := r.PathValue("name"); u.Name == "" {
		u.Name = path
	} else if u.Name != path {
		return u, nil, refuse(http.StatusBadRequest, "name in URL %.80q differs from unit name in request body %.80q", path, u.Name)
	}
	name, err := unitfile.ParseName(u.Name)
	if err != nil {
		return u, nil, refuse(http.StatusBadRequest, "%w", err)
	}
	if err := checkDesired(name, u.DesiredState); err != nil {
		return u, nil, refuse(http.StatusBadRequest, "%w", err)
	}
	if len(u.Options) == 0 {
		return u, nil, nil
	}
	file, err := checkFile(name, unitfile.Of(u))
	if err != nil {
		return u, nil, refuse(http.StatusBadRequest, "%w", err)
	}
	u.Options = file.SchemaOptions()
	return u, file, nil
}

func checkDesired(name unitfile.Name, state string) error {
	if state != "" && !slices.Contains([]string{schema.Inactive, schema.Loaded, schema.Launched}, state) {
		return fmt.Errorf("desiredState %.80q is not %s, %s or %s", state, schema.Inactive, schema.Loaded, schema.Launched)
	}
	if name.IsTemplate() && state != "" && state != schema.Inactive {
		return fmt.Errorf("cannot activate template %q: only its instances can be %s", name.Full, state)
	}
	return nil
}

// checkFile refuses options that systemd would read differently from a file, and
// requirements that contradict each other. It returns the file as systemd reads it.
func checkFile(name unitfile.Name, sent *unitfile.File) (*unitfile.File, error) {
	for i, o := range sent.Options {
		if o.Section == "" || o.Name == "" {
			return nil, fmt.Errorf("option %d has no section or no name", i+1)
		}
	}
	file, err := unitfile.Parse(sent.String())
	if err != nil {
		return nil, err
	}
	if !sameOptions(sent, file) {
		return nil, errors.New("the options cannot be written as a unit file")
	}
	return file, file.Check(name)
}

// sameOptions compares the options that were sent with those that were read from the file
// that was made of them. The file has each section in one piece, and no space around values.
func sameOptions(sent, read *unitfile.File) bool {
	first := map[string]int{}
	for i, o := range sent.Options {
		if _, ok := first[o.Section]; !ok {
			first[o.Section] = i
		}
	}
	grouped := slices.SortedStableFunc(slices.Values(sent.Options), func(a, b *unit.UnitOption) int {
		return first[a.Section] - first[b.Section]
	})
	return slices.EqualFunc(grouped, read.Options, func(a, b *unit.UnitOption) bool {
		return a.Section == b.Section && strings.TrimSpace(a.Name) == strings.TrimSpace(b.Name) && strings.TrimSpace(a.Value) == strings.TrimSpace(b.Value)
	})
}
