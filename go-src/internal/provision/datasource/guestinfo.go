package datasource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Guestinfo returns the variable guestinfo.NAME that the hypervisor has for a machine,
// empty if it has none of that name.
type Guestinfo func(ctx context.Context, name string) (string, error)

// GuestinfoCommand makes a Guestinfo of a program that is told a request as its last
// argument, as VMware's tools have it: "vmware-rpctool", or "vmtoolsd", "--cmd". A machine
// without the program cannot ask, and the source is ErrAbsent.
func GuestinfoCommand(program string, arguments ...string) Guestinfo {
	return func(ctx context.Context, name string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTime)
		defer cancel()
		request := slices.Concat(arguments, []string{"info-get guestinfo." + name})
		command := exec.CommandContext(ctx, program, request...)
		// Whatever it started and left behind does not hold us.
		command.WaitDelay = time.Second
		output, problem := bounded{most: 2 * MaxUserData}, bounded{most: maxValue}
		command.Stdout, command.Stderr = &output, &problem
		err := command.Run()
		switch {
		case err == nil:
			return strings.TrimSuffix(string(output.text), "\n"), nil
		case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("%w: %w", ErrAbsent, err)
		case output.overflows || problem.overflows:
			return "", fmt.Errorf("guestinfo.%s: %w", name, ErrTooLarge)
		case strings.Contains(string(problem.text), "No value found"):
			return "", nil
		}
		return "", fmt.Errorf("%s guestinfo.%s: %w: %.200q", program, name, err, bytes.TrimSpace(problem.text))
	}
}

// bounded takes at most so many bytes. It embeds nothing: io.Copy would read into a
// bytes.Buffer without end.
type bounded struct {
	text      []byte
	most      int
	overflows bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > b.most {
		b.overflows = true
		return 0, ErrTooLarge
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
