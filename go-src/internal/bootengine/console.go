package bootengine

import (
	"fmt"
	"os"
)

// console writes to the kernel's log, from which it reaches the console, in
// order with what the kernel says, and later the journal.
type console struct{ kmsg *os.File }

// Kernel log levels (syslog(2)).
const (
	levelError   = 3
	levelWarning = 4
	levelNotice  = 5
)

func openConsole() *console {
	kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		kmsg = os.Stderr
	}
	return &console{kmsg}
}

func (c *console) print(level int, format string, args ...any) {
	fmt.Fprintf(c.kmsg, "<%d>bootengine: %s\n", level, fmt.Sprintf(format, args...))
}

func (c *console) Error(format string, args ...any)   { c.print(levelError, format, args...) }
func (c *console) Warning(format string, args ...any) { c.print(levelWarning, format, args...) }
func (c *console) Notice(format string, args ...any)  { c.print(levelNotice, format, args...) }
