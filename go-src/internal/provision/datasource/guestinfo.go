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

// Guestinfo returns the variable guestinfo.NAME of the hypervisor, empty if it is not set.
type Guestinfo func(ctx context.Context, name string) (string, error)

// GuestinfoCommand returns a Guestinfo that runs a program of VMware with a request as its
// last argument: "vmware-rpctool", or "vmtoolsd", "--cmd". If the machine does not have the
// program, the source is ErrAbsent.
func GuestinfoCommand(program string, arguments ...string) Guestinfo {
	return func(ctx context.Context, name string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTime)
		defer cancel()
		request := slices.Concat(arguments, []string{"info-get guestinfo." + name})
		command := exec.CommandContext(ctx, program, request...)
		// Processes that it leaves running do not delay the result.
		command.WaitDelay = time.Second
		output, problem := limited{most: 2 * MaxUserData}, limited{most: maxValue}
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

// limited keeps a limited number of bytes. It does not embed the buffer: io.Copy would use
// its ReadFrom, which has no limit.
type limited struct {
	text      []byte
	most      int
	overflows bool
}

func (b *limited) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > b.most {
		b.overflows = true
		return 0, ErrTooLarge
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
