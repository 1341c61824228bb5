package schema

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// The kinds of errors for which the server answers with a status of its own. All other
// errors become 500.
var (
	ErrNotFound    = errors.New("not found")           // 404
	ErrConflict    = errors.New("conflict")            // 409
	ErrInvalid     = errors.New("invalid")             // 400
	ErrUnavailable = errors.New("etcd cannot be used") // 503
)

// statuses has the HTTP status of each kind of error.
var statuses = []struct {
	err    error
	status int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusConflict},
	{ErrInvalid, http.StatusBadRequest},
	{ErrUnavailable, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
}

// Error is an answer of the server that is not a success. Cause is what went wrong, if that
// is known; errors.Is finds it.
type Error struct {
	Code    int
	Message string
	Cause   error
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code))
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ErrorBody is the JSON of an error.
type ErrorBody struct {
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Status returns the HTTP status with which the server answers an error.
func Status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	for _, known := range statuses {
		if errors.Is(err, known.err) {
			return known.status
		}
	}
	return http.StatusInternalServerError
}

// Kind returns the kind of error that an HTTP status stands for, nil if there is none.
func Kind(status int) error {
	for _, known := range statuses {
		if known.status == status {
			return known.err
		}
	}
	return nil
}
