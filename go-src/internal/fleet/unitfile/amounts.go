package unitfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// amounts reads the options that have a number as their value.
func (r *Requirements) amounts(f *File, name Name) error {
	for option, set := range map[string]func(string) error{
		"MaxPerMachine": func(text string) (err error) {
			r.MaxPerMachine, err = strconv.Atoi(text)
			if err == nil && r.MaxPerMachine < 1 {
				err = fmt.Errorf("want 1 or more")
			}
			return err
		},
		"CPUs": func(text string) (err error) {
			r.CPUs, err = strconv.ParseFloat(text, 64)
			if err == nil && (r.CPUs <= 0 || r.CPUs > 1e6 || math.IsNaN(r.CPUs)) {
				err = fmt.Errorf("want a number of processors, such as 0.5")
			}
			return err
		},
		"Memory": func(text string) (err error) {
			r.Memory, err = parseBytes(text)
			return err
		},
	} {
		all := f.all(name, option)
		if len(all) == 0 {
			continue
		}
		if err := set(all[len(all)-1]); err != nil {
			return fmt.Errorf("%s=%.80q: %w", option, all[len(all)-1], err)
		}
	}
	return nil
}

// parseBytes reads a size as systemd does: a number of bytes, or with a suffix K, M, G or T of base 1024.
func parseBytes(text string) (int64, error) {
	digits, shift := text, 0
	if i := strings.IndexByte("KMGT", (text + " ")[max(len(text)-1, 0)]); i >= 0 && text != "" {
		digits, shift = text[:len(text)-1], 10*(i+1)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("want a number of bytes, such as 512M")
	}
	return n << shift, nil
}
