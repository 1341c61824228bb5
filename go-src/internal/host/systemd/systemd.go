// Package systemd enqueues jobs for units over systemd's D-Bus interface and waits for
// their results. See the signal JobRemoved in org.freedesktop.systemd1(5).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// Call is a method of systemd's manager that enqueues a job for a unit, such as
// (*dbus.Conn).StartUnitContext. The job's result is sent to the channel.
type Call func(ctx context.Context, unit, mode string, result chan<- string) (int, error)

// Job is a job that systemd has enqueued.
type Job struct{ result <-chan string }

// Enqueue enqueues a job, which replaces a pending job of the unit that conflicts with it.
func Enqueue(ctx context.Context, call Call, unit string) (Job, error) {
	result := make(chan string, 1)
	_, err := call(ctx, unit, "replace", result)
	return Job{result}, err
}

// ResultError is the result of a job that did not do its work, such as "failed",
// "timeout", "canceled" or "dependency".
type ResultError string

func (e ResultError) Error() string { return fmt.Sprintf("the job's result is %q", string(e)) }

// Wait waits for the job's end, and returns nil if its result is "done", else a
// ResultError, or the error of the context if that ends first.
func (j Job) Wait(ctx context.Context) error {
	select {
	case result := <-j.result:
		if result != "done" {
			return ResultError(result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the job has not ended: %w", ctx.Err())
	}
}

// Run enqueues a job and waits for its end.
func Run(ctx context.Context, call Call, unit string) error {
	job, err := Enqueue(ctx, call, unit)
	if err != nil {
		return err
	}
	return job.Wait(ctx)
}

// IsNoSuchUnit reports whether systemd answered that it knows no such unit.
func IsNoSuchUnit(err error) bool {
	var e godbus.Error
	return errors.As(err, &e) && e.Name == "org.freedesktop.systemd1.NoSuchUnit"
}

// Refusal returns why systemd refuses a unit, and whether the error is a refusal at all: an answer of
// systemd itself, such as org.freedesktop.systemd1.BadUnitSetting, and not of D-Bus.
func Refusal(err error) (reason string, refused bool) {
	var e godbus.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Name, "org.freedesktop.systemd1.") {
		return "", false
	}
	return e.Error(), true
}

// Text returns a property of a unit that is a text, such as LoadState. The question makes systemd load
// the unit.
func Text(ctx context.Context, conn *dbus.Conn, unit, property string) (string, error) {
	value, err := conn.GetUnitPropertyContext(ctx, unit, property)
	if err != nil {
		return "", fmt.Errorf("asking systemd for %s: %w", unit, err)
	}
	text, _ := value.Value.Value().(string)
	return text, nil
}

// Variables reads the property Environment of a service: lines NAME=VALUE, of which the last one of a
// name counts.
func Variables(environment []string) map[string]string {
	all := map[string]string{}
	for _, line := range environment {
		name, value, _ := strings.Cut(line, "=")
		all[name] = value
	}
	return all
}

// Connect connects to systemd by the system bus. The connection ends with the context.
func Connect(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("systemd cannot be reached over D-Bus: %w", err)
	}
	return conn, nil
}
