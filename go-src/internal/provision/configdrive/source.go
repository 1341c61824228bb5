package configdrive

import (
	"context"
	"fmt"

	"coreos/internal/provision/datasource"
)

// guarded is a config drive that is mounted on dir.
type guarded struct {
	datasource.Source
	machine Machine
	dir     string
}

// Guard returns the source for a config drive that is mounted on a directory. Its answer
// counts only if the drive is the machine's. The first answer that is applied makes the
// drive the machine's.
func (m Machine) Guard(source datasource.Source, dir string) datasource.Source {
	return guarded{source, m, dir}
}

func (g guarded) Fetch(ctx context.Context) (*datasource.Data, error) {
	data, err := g.Source.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.machine.CheckMounted(g.dir, data.Metadata.Instance); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", g.Name(), datasource.ErrInvalid, err)
	}
	data.Accept = func() error { return g.machine.Remember(g.dir, data.Metadata.Instance) }
	return data, nil
}
