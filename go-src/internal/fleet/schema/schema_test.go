package schema

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("unit a: %w", ErrNotFound), 404},
		{fmt.Errorf("%w: it changed", ErrConflict), 409},
		{ErrInvalid, 400},
		{ErrUnavailable, 503},
		{context.DeadlineExceeded, 503},
		{errors.New("broken"), 500},
		{fmt.Errorf("asked for: %w", &Error{Code: 413, Cause: ErrInvalid}), 413},
	} {
		if status := Status(test.err); status != test.status {
			t.Errorf("%v: %d, want %d", test.err, status, test.status)
		}
	}
	for status, kind := range map[int]error{404: ErrNotFound, 409: ErrConflict, 400: ErrInvalid, 503: ErrUnavailable, 500: nil, 0: nil} {
		if got := Kind(status); !errors.Is(got, kind) {
			t.Errorf("%d is %v, want %v", status, got, kind)
		}
	}
	if err := error(&Error{Code: 404, Cause: ErrNotFound}); !errors.Is(err, ErrNotFound) || err.Error() != "404 Not Found" {
		t.Errorf("%v, not found: %t", err, errors.Is(err, ErrNotFound))
	}
}

func TestMetadataValue(t *testing.T) {
	for text, want := range map[string]MetadataValue{`"ssd"`: "ssd", `{"value":"ssd"}`: "ssd", `null`: "", `{}`: ""} {
		var v MetadataValue
		if err := json.Unmarshal([]byte(text), &v); err != nil || v != want {
			t.Errorf("%s is %q, %v; want %q", text, v, err, want)
		}
	}
	var v MetadataValue
	if err := json.Unmarshal([]byte(`["ssd"]`), &v); err == nil {
		t.Errorf("a list is read as %q", v)
	}
}
