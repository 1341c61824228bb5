package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Event has the properties of a uevent of the kernel, such as ACTION, DEVPATH and MODALIAS.
type Event map[string]string

// Events receives the kernel's uevents (NETLINK_KOBJECT_UEVENT, group 1).
type Events struct{ fd int }

// Listen starts to receive events. The caller reads sysfs after that, since it does not get
// earlier events.
func Listen() (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("uevent socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("uevent socket: %w", err)
	}
	return &Events{fd: fd}, nil
}

// Close stops receiving.
func (e *Events) Close() error { return unix.Close(e.fd) }

// Next waits for an event until the context's deadline.
func (e *Events) Next(ctx context.Context) (Event, error) {
	buffer := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(e.fd, buffer, 0)
		switch {
		case err == nil:
			return parseEvent(buffer[:n]), nil
		case errors.Is(err, unix.ENOBUFS):
			// Events were lost: an empty one tells the caller to read sysfs.
			return Event{}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("uevent socket: %w", err)
		}
		if err := e.poll(ctx); err != nil {
			return nil, err
		}
	}
}

func (e *Events) poll(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timeout := -1
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(0, int(time.Until(deadline).Milliseconds())+1)
	}
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}, timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("uevent socket: %w", err)
	}
	return nil
}

// parseEvent parses "action@devpath\0KEY=value\0…".
func parseEvent(message []byte) Event {
	event := Event{}
	for field := range bytes.SplitSeq(message, []byte{0}) {
		if key, value, ok := strings.Cut(string(field), "="); ok {
			event[key] = value
		}
	}
	return event
}
