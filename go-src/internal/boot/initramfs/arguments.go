package initramfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/cmdline"
)

const (
	kernelCmdline   = "/proc/cmdline"
	filteredCmdline = "/run/coreos/cmdline"
)

// environment is that of systemd. The kernel adds words of its command line to the
// environment of the initramfs, which must not reach the programs of the system.
var environment = []string{"HOME=/", "TERM=linux"}

// filterArguments returns the command line without what the firmware may not add to it, logs
// the names of the rest, and has the system see that command line. GRUB has left it out
// already, unless it is older than the rule; then the kernel itself has read it.
func (e *engine) filterArguments(line string) (string, error) {
	line = strings.TrimSpace(line)
	filtered, refused := cmdline.Filter(line)
	if len(refused) == 0 {
		return line, nil
	}
	e.log.Warning("left out of the kernel command line, since the firmware may not set it: %s", strings.Join(refused, " "))
	if filtered == line {
		return line, nil
	}
	if err := os.MkdirAll(filepath.Dir(filteredCmdline), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filteredCmdline, []byte(filtered+"\n"), 0o444); err != nil {
		return "", err
	}
	if err := unix.Mount(filteredCmdline, kernelCmdline, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount %s on %s: %w", filteredCmdline, kernelCmdline, err)
	}
	return filtered, nil
}
