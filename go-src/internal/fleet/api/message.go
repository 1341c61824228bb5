package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
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

// jsonType is the type of the bodies of all requests.
const jsonType = "application/json"

// checkType requires a body of one of some types.
func checkType(r *http.Request, types ...string) error {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 {
		return refuse(http.StatusUnsupportedMediaType, "want one Content-Type, %s; there are %d", strings.Join(types, " or "), len(kinds))
	}
	if kind, _, _ := strings.Cut(kinds[0], ";"); !slices.Contains(types, strings.ToLower(strings.TrimSpace(kind))) {
		return refuse(http.StatusUnsupportedMediaType, "Content-Type %.80q is not %s", kinds[0], strings.Join(types, " or "))
	}
	return nil
}

func decode(r *http.Request, to any) error {
	text, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", large.Limit)
	}
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err == nil {
		err = checkKeys(json.NewDecoder(bytes.NewReader(text)))
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "unable to decode body: %w", err)
	}
	return nil
}

// checkKeys refuses an object that has a key twice, of which one value would be ignored. The next token
// of the decoder begins a value of a text that is valid.
func checkKeys(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, _ := token.(json.Delim)
	if open == 0 {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := strings.ToLower(key.(string)) // Go takes keys in any case
			if seen[name] {
				return fmt.Errorf("an object has the key %.80q twice", name)
			}
			seen[name] = true
		}
		if err := checkKeys(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
