package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"coreos/internal/fleet/schema"
)

// refuse returns an error with an HTTP status and a text.
func refuse(code int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &schema.Error{Code: code, Message: err.Error(), Cause: err}
}

func sendError(w http.ResponseWriter, err error) {
	var body schema.ErrorBody
	body.Error.Code, body.Error.Message = schema.Status(err), err.Error()
	send(w, body.Error.Code, body)
}

func send(w http.ResponseWriter, code int, body any) {
	if body == nil {
		w.WriteHeader(code)
		return
	}
	text, err := json.Marshal(body)
	if err != nil { // all bodies are types of this package and schema, which can be encoded
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text) // the client may have closed the connection
}

// checkType requires a JSON body.
func checkType(r *http.Request) error {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 {
		return refuse(http.StatusUnsupportedMediaType, "want one Content-Type, application/json; there are %d", len(kinds))
	}
	if kind, _, _ := strings.Cut(kinds[0], ";"); strings.TrimSpace(kind) != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Content-Type %.80q is not application/json", kinds[0])
	}
	return nil
}

func decode(r *http.Request, to any) error {
	err := json.NewDecoder(r.Body).Decode(to)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", large.Limit)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "unable to decode body: %w", err)
	}
	return nil
}
