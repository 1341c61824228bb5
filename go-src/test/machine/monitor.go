package machine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// eventsFD is the file descriptor on which QEMU reports events.
const eventsFD = 3

// socketPair returns both ends of a connection, the second one for a child.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "events"), os.NewFile(uintptr(fds[1]), "events")
	connection, err := net.FileConn(ours) // a copy
	_ = ours.Close()
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return connection, theirs, nil
}

// sawReset follows QEMU's events until they end, and reports whether the last one was a
// reset, by the machine or by the test.
func sawReset(events net.Conn) bool {
	lines, err := negotiate(events)
	if err != nil {
		return false
	}
	reset := false
	for lines.Scan() {
		var event struct {
			Event string
			Data  struct{ Reason string }
		}
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Event == "SHUTDOWN" {
			reset = strings.HasSuffix(event.Data.Reason, "-reset")
		}
	}
	return reset
}

// humanCommand runs a command of QEMU's monitor through QMP and returns its output. The
// output of most commands is empty on success.
func (q *qemu) humanCommand(line string) (string, error) {
	connection, err := net.Dial("unix", q.monitor())
	if err != nil {
		return "", fmt.Errorf("QEMU monitor: %w", err)
	}
	defer func() { _ = connection.Close() }()
	lines, err := negotiate(connection)
	if err != nil {
		return "", err
	}
	return execute(connection, lines, "human-monitor-command", map[string]any{"command-line": line})
}

// negotiate begins a QMP session and returns the lines of what QEMU sends in it.
func negotiate(connection net.Conn) (*bufio.Scanner, error) {
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // the greeting
	_, err := execute(connection, lines, "qmp_capabilities", nil)
	return lines, err
}

func execute(connection net.Conn, lines *bufio.Scanner, command string, arguments map[string]any) (string, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(connection).Encode(request); err != nil {
		return "", fmt.Errorf("QEMU monitor: %w", err)
	}
	for lines.Scan() {
		var reply struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := json.Unmarshal(lines.Bytes(), &reply); err != nil {
			return "", fmt.Errorf("QEMU monitor: %w", err)
		}
		if reply.Error != nil {
			return "", fmt.Errorf("QEMU monitor: %s: %s", command, reply.Error.Desc)
		}
		if reply.Return != nil {
			var text string
			_ = json.Unmarshal(reply.Return, &text) // an object where there is no text
			return text, nil
		}
	}
	return "", fmt.Errorf("QEMU monitor: %s: no answer", command)
}

// Save stores the whole state of a machine in QEMU in its disk, under a name for
// Config.LoadVM.
func (m *Machine) Save(name string) error {
	q, err := m.qemu()
	if err != nil {
		return err
	}
	out, err := q.humanCommand("savevm " + name)
	if err == nil && out != "" {
		err = fmt.Errorf("savevm: %s", out)
	}
	return err
}

// pressButton presses the power button.
func (q *qemu) pressButton() error {
	_, err := q.humanCommand("system_powerdown")
	return err
}

// plug sets the carrier of the interface on the tests' network.
func (q *qemu) plug(in bool) error {
	state := "off"
	if in {
		state = "on"
	}
	_, err := q.humanCommand("set_link " + networkID + " " + state)
	return err
}

// Reset presses the reset button of a machine in QEMU.
func (m *Machine) Reset() error {
	q, err := m.qemu()
	if err != nil {
		return err
	}
	_, err = q.humanCommand("system_reset")
	return err
}
