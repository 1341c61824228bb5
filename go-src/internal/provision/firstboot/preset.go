package firstboot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// presets is the file in which Ignition writes which units are enabled. systemd applies it
// only on a machine without an id, so it is applied here.
const presets = "/etc/systemd/system-preset/20-ignition.preset"

func (f *FirstBoot) preset(ctx context.Context) error {
	file, err := os.Open(presets)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	units, err := presetUnits(file)
	if err != nil {
		return fmt.Errorf("%s: %w", presets, err)
	}
	for _, unit := range units {
		if err := f.tool(ctx, "systemctl", "--root=/", "preset", unit); err != nil {
			// The unit may be installed later.
			f.Log.Warning("%v", err)
		}
	}
	return nil
}

// presetUnits returns the units in a systemd.preset(5) file, for a template its instances.
func presetUnits(text io.Reader) (units []string, err error) {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "enable" && words[0] != "disable" {
			continue
		}
		if len(words) == 2 {
			units = append(units, words[1])
			continue
		}
		name, suffix, _ := strings.Cut(words[1], "@")
		for _, instance := range words[2:] {
			units = append(units, name+"@"+instance+suffix)
		}
	}
	return units, lines.Err()
}
