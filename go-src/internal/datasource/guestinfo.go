package datasource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"
)

// Guestinfo returns the variable guestinfo.NAME that the hypervisor has for a machine,
// empty if it has none of that name.
type Guestinfo func(ctx context.Context, name string) (string, error)

// GuestinfoCommand makes a Guestinfo of a program that is told a request as its last
// argument, as VMware's tools have it: "vmware-rpctool", or "vmtoolsd", "--cmd". A machine
// without the program cannot ask, and the source is ErrAbsent.
func GuestinfoCommand(command ...string) Guestinfo {
	return func(ctx context.Context, name string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTime)
		defer cancel()
		arguments := append(append([]string{}, command[1:]...), "info-get guestinfo."+name)
		program := exec.CommandContext(ctx, command[0], arguments...)
		// Whatever it started and left behind does not hold us.
		program.WaitDelay = time.Second
		output, problem := bounded{most: 2 * MaxUserData}, bounded{most: maxValue}
		program.Stdout, program.Stderr = &output, &problem
		err := program.Run()
		switch {
		case err == nil:
			return strings.TrimSuffix(output.String(), "\n"), nil
		case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("%w: %w", ErrAbsent, err)
		case output.overflows || problem.overflows:
			return "", fmt.Errorf("guestinfo.%s: %w", name, ErrTooLarge)
		case strings.Contains(problem.String(), "No value found"):
			return "", nil
		}
		return "", fmt.Errorf("%s guestinfo.%s: %w: %.200q", command[0], name, err, bytes.TrimSpace(problem.Bytes()))
	}
}

// bounded takes at most so many bytes.
type bounded struct {
	bytes.Buffer
	most      int
	overflows bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		b.overflows = true
		return 0, ErrTooLarge
	}
	return b.Buffer.Write(p)
}
