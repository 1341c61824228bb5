package v2proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The errorCode of an Error, with etcd 2's numbers.
const (
	CodeKeyNotFound       = 100
	CodeTestFailed        = 101
	CodeNotFile           = 102
	CodeNotDir            = 104
	CodeNodeExist         = 105
	CodeRootReadOnly      = 107
	CodeDirNotEmpty       = 108
	CodeUnauthorized      = 110
	CodePrevValueRequired = 201
	CodeTTLNaN            = 202
	CodeIndexNaN          = 203
	CodeInvalidField      = 209
	CodeInvalidForm       = 210
	CodeRefreshValue      = 211
	CodeRefreshTTL        = 212
	CodeRaftInternal      = 300
	CodeLeaderElect       = 301
	CodeIndexCleared      = 401
)

// messages are the messages of etcd 2, which clients compare.
var messages = map[int]string{
	CodeKeyNotFound:       "Key not found",
	CodeTestFailed:        "Compare failed",
	CodeNotFile:           "Not a file",
	CodeNotDir:            "Not a directory",
	CodeNodeExist:         "Key already exists",
	CodeRootReadOnly:      "Root is read only",
	CodeDirNotEmpty:       "Directory not empty",
	CodeUnauthorized:      "The request requires user authentication",
	CodePrevValueRequired: "PrevValue is Required in POST form",
	CodeTTLNaN:            "The given TTL in POST form is not a number",
	CodeIndexNaN:          "The given index in POST form is not a number",
	CodeInvalidField:      "Invalid field",
	CodeInvalidForm:       "Invalid POST form",
	CodeRefreshValue:      "Value provided on refresh",
	CodeRefreshTTL:        "A TTL must be provided on refresh",
	CodeRaftInternal:      "Raft Internal Error",
	CodeLeaderElect:       "During Leader Election",
	CodeIndexCleared:      "The event in requested index is outdated and cleared",
}

var statuses = map[int]int{
	CodeKeyNotFound:  http.StatusNotFound,
	CodeNotFile:      http.StatusForbidden,
	CodeDirNotEmpty:  http.StatusForbidden,
	CodeUnauthorized: http.StatusUnauthorized,
	CodeTestFailed:   http.StatusPreconditionFailed,
	CodeNodeExist:    http.StatusPreconditionFailed,
	CodeRaftInternal: http.StatusInternalServerError,
	CodeLeaderElect:  http.StatusInternalServerError,
}

// Error is an error in the form of etcd 2.
type Error struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause,omitempty"`
	// Index is the revision of etcd at that time, or 0 if etcd was not asked.
	Index int64 `json:"index"`
	// status is the HTTP status if it is not the usual one of the code.
	status int
}

func (e *Error) Error() string { return e.Message + " (" + e.Cause + ")" }

// Status returns the HTTP status.
func (e *Error) Status() int {
	if e.status != 0 {
		return e.status
	}
	if s, ok := statuses[e.Code]; ok {
		return s
	}
	return http.StatusBadRequest
}

// write writes the error as a response.
func (e *Error) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Etcd-Index", strconv.FormatInt(e.Index, 10))
	w.WriteHeader(e.Status())
	_ = json.NewEncoder(w).Encode(e)
}

func fail(code int, index int64, cause string, args ...any) *Error {
	if len(args) > 0 {
		cause = fmt.Sprintf(cause, args...)
	}
	return &Error{Code: code, Message: messages[code], Cause: cause, Index: index}
}

// unknown is the end of the message of an error after which a write may have happened.
const unknown = "; it is not known whether the write took place"

// failure converts an error of etcd's client. If a write may have happened, the Error says that this is
// not known.
func failure(err error, mayBeDone bool) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	doubt := ""
	if mayBeDone {
		doubt = unknown
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return fail(CodeRaftInternal, 0, "etcd did not answer in time: %v%s", err, doubt)
	case errors.Is(err, rpctypes.ErrNoLeader), errors.Is(err, rpctypes.ErrLeaderChanged),
		errors.Is(err, rpctypes.ErrTimeoutDueToLeaderFail):
		return fail(CodeLeaderElect, 0, "%v%s", err, doubt)
	case errors.Is(err, rpctypes.ErrPermissionDenied), errors.Is(err, rpctypes.ErrUserEmpty),
		errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrInvalidAuthToken),
		status.Code(err) == codes.PermissionDenied: // by the guard of etcd
		return fail(CodeUnauthorized, 0, "etcd refuses the user of etcd2-proxy: %v", err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return fail(CodeInvalidField, 0, "larger than etcd takes: %v", err)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fail(CodeRaftInternal, 0, "etcd is full: compact, defragment and disarm its alarm: %v", err)
	}
	return fail(CodeRaftInternal, 0, "%v%s", err, doubt)
}
