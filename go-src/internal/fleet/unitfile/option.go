package unitfile

import (
	"github.com/coreos/go-systemd/v22/unit"

	"coreos/internal/fleet/schema"
)

// Of returns the file of a unit of the API.
func Of(u schema.Unit) *File {
	f := &File{Options: make([]*unit.UnitOption, len(u.Options))}
	for i, o := range u.Options {
		f.Options[i] = unit.NewUnitOption(o.Section, o.Name, o.Value)
	}
	return f
}

// SchemaOptions returns the options of the file as the API has them.
func (f *File) SchemaOptions() []schema.UnitOption {
	options := make([]schema.UnitOption, len(f.Options))
	for i, o := range f.Options {
		options[i] = schema.UnitOption{Section: o.Section, Name: o.Name, Value: o.Value}
	}
	return options
}

// RequirementsOf reads the section [X-Fleet] of a unit of the API.
func RequirementsOf(u schema.Unit) (Requirements, error) {
	name, err := ParseName(u.Name)
	if err != nil {
		return Requirements{}, err
	}
	return Of(u).Requirements(name)
}
