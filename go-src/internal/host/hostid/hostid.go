// Package hostid reads the IDs of this machine and of its boot.
package hostid

import (
	"fmt"
	"os"
	"strings"
)

// Machine is the machine's ID, 32 lower-case hexadecimal digits (machine-id(5)).
func Machine() (string, error) { return machine("/etc/machine-id") }

func machine(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the machine's ID: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%s: %.40q is no ID of a machine (see machine-id(5))", file, id)
	}
	return id, nil
}

// Boot is the ID that the kernel gave to this boot, a UUID.
func Boot() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("the boot's ID: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
