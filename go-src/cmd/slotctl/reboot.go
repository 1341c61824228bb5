package main

import (
	"fmt"
	"os/exec"
)

// reboot asks systemd for an orderly restart, without waiting for it.
func reboot() error {
	if out, err := exec.Command("systemctl", "--no-block", "reboot").CombinedOutput(); err != nil {
		return fmt.Errorf("restart: %w: %s", err, out)
	}
	return nil
}
