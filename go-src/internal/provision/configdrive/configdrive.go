package configdrive

import (
	"errors"
	"fmt"
	"io/fs"
)

// Machine decides for a machine.
type Machine struct {
	// Record is the path of its record.
	Record string

	system system
}

// New returns the decisions of this machine.
func New() Machine { return Machine{File, machine} }

// Check returns an error if a block device with the label of a config drive, such as "vdb",
// must not be used as one: ErrKind if it cannot be one, ErrOther if it is not this machine's.
// property returns the properties that udev has for the device. The device is not read.
func (m Machine) Check(name string, property func(string) string) error {
	if err := m.system.kind(name); err != nil {
		return err
	}
	record, err := Read(m.Record)
	if err != nil {
		return err
	}
	return record.permits(drive(property))
}

// CheckMounted is Check for the device that is mounted on a directory, and for the instance
// id that is on it.
func (m Machine) CheckMounted(dir, instance string) error {
	record, err := Read(m.Record)
	if err != nil {
		return err
	}
	name, property, err := m.system.mounted(dir)
	if err != nil {
		return err
	}
	return errors.Join(m.Check(name, property), record.permitsInstance(instance))
}

// Remember records that the device that is mounted on a directory is the machine's config
// drive. The caller has checked it.
func (m Machine) Remember(dir, instance string) error {
	_, property, err := m.system.mounted(dir)
	if err != nil {
		return err
	}
	d := drive(property)
	record, err := Read(m.Record)
	if err != nil || record != nil && record.Instance != nil && *record.Drive == d {
		return err
	}
	if err := (Record{&d, &instance}).write(m.Record); err != nil {
		return fmt.Errorf("remember the config drive: %w", err)
	}
	return nil
}

// Seal ends the time in which a drive may become the machine's config drive: from now on it
// is the one that link leads to, or none. It does nothing if the machine has a record.
func (m Machine) Seal(link string) (Record, error) {
	record, err := Read(m.Record)
	if err != nil {
		return Record{}, err
	}
	if record != nil {
		return *record, nil
	}
	sealed := Record{}
	switch _, property, err := m.system.linked(link); {
	case err == nil:
		d := drive(property)
		sealed.Drive = &d
	case !errors.Is(err, fs.ErrNotExist):
		return Record{}, err
	}
	err = sealed.create(m.Record)
	if errors.Is(err, fs.ErrExist) {
		return m.Seal(link) // Remember was faster: its record stays
	}
	return sealed, err
}
