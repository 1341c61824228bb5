// Package hostid reads the id of this machine and the id of its current boot.
package hostid

import (
	"fmt"
	"os"
	"strings"
)

// Machine returns the machine id: 32 lower-case hexadecimal digits (machine-id(5)).
func Machine() (string, error) { return machine("/etc/machine-id") }

func machine(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the machine id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%s: %.40q is not a machine id (see machine-id(5))", file, id)
	}
	return id, nil
}

// Boot returns the boot id of the kernel, a UUID.
func Boot() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
