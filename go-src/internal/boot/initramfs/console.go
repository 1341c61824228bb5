package initramfs

import (
	"fmt"
	"os"
)

// console writes to the kernel's log. From there messages reach the console, in the right
// order with the kernel's, and later the journal.
type console struct{ kmsg *os.File }

// maxMessage is the size limit of a message in bytes: the kernel refuses records of more
// than about a thousand (PRINTKRB_RECORD_MAX).
const maxMessage = 900

// Kernel log levels (syslog(2)).
const (
	levelError   = 3
	levelWarning = 4
	levelNotice  = 5
	levelInfo    = 6 // not on the console
)

func openConsole() *console {
	kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		kmsg = os.Stderr
	}
	// Without this the kernel drops all but ten messages in five seconds.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0o644)
	return &console{kmsg}
}

func (c *console) print(level int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxMessage {
		text = text[:maxMessage] + " …"
	}
	fmt.Fprintf(c.kmsg, "<%d>bootengine: %s\n", level, text)
}

func (c *console) Error(format string, args ...any)   { c.print(levelError, format, args...) }
func (c *console) Warning(format string, args ...any) { c.print(levelWarning, format, args...) }
func (c *console) Notice(format string, args ...any)  { c.print(levelNotice, format, args...) }
func (c *console) Info(format string, args ...any)    { c.print(levelInfo, format, args...) }
