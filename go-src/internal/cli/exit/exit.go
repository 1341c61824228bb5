// Package exit has the errors that say with which status a command ends.
package exit

import (
	"errors"
	"fmt"
)

// Statuses that are the same in all commands.
const (
	OK      = 0
	Failure = 1
	Misuse  = 2 // of the command line
)

// usage is a mistake in the command line.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

// Usage says that err is a mistake in the command line. Usage(nil) is nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usage{err}
}

// Usagef is Usage with a formatted error.
func Usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// Status ends a command that has said all there is to say.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Of returns the exit status for the result of a command, and whether err is yet to be
// printed.
func Of(err error) (status int, print bool) {
	var s Status
	var u usage
	switch {
	case err == nil:
		return OK, false
	case errors.As(err, &s):
		return int(s), false
	case errors.As(err, &u):
		return Misuse, true
	}
	return Failure, true
}
