package fleetapi

import (
	"github.com/coreos/go-systemd/v22/unit"

	"coreos/internal/fleetunit"
)

// File is the unit file that options make.
func File(options []UnitOption) *fleetunit.File {
	file := &fleetunit.File{Options: make([]*unit.UnitOption, len(options))}
	for i, o := range options {
		file.Options[i] = unit.NewUnitOption(o.Section, o.Name, o.Value)
	}
	return file
}

// Options are those of a unit file.
func Options(file *fleetunit.File) []UnitOption {
	options := make([]UnitOption, len(file.Options))
	for i, o := range file.Options {
		options[i] = UnitOption{o.Section, o.Name, o.Value}
	}
	return options
}
