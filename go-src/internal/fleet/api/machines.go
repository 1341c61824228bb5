package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"coreos/internal/fleet/schema"
)

// Bounds of what can be written about a machine.
const (
	maxChanges = 1000
	maxText    = 1024
)

func (s *server) listMachines(r *http.Request, _ string) (reply, error) {
	all, err := s.cluster.Machines(r.Context())
	if err != nil {
		return reply{}, err
	}
	items, next, err := page(s.PageSize, r.URL, all)
	return reply{code: http.StatusOK, body: schema.MachinePage{Machines: items, NextPageToken: next}}, err
}

func (s *server) patchMachines(r *http.Request, by string) (reply, error) {
	if err := checkType(r, jsonType, "application/json-patch+json"); err != nil {
		return reply{}, err
	}
	var operations []schema.Operation
	if err := decode(r, &operations); err != nil {
		return reply{}, err
	}
	if len(operations) > maxChanges {
		return reply{}, refuse(http.StatusBadRequest, "%d operations: at most %d can be made at once", len(operations), maxChanges)
	}
	changes := make([]schema.MetadataChange, len(operations))
	for i, o := range operations {
		var err error
		if changes[i], err = change(o); err != nil {
			return reply{}, refuse(http.StatusBadRequest, "operation %d: %w", i+1, err)
		}
	}
	done := reply{code: http.StatusNoContent, did: describe(changes)}
	if len(changes) == 0 {
		return done, nil
	}
	return done, s.cluster.SetMetadata(r.Context(), by, changes)
}

// describe lists the first changes, for the log.
func describe(changes []schema.MetadataChange) string {
	var texts []string
	for _, c := range changes[:min(len(changes), 10)] {
		texts = append(texts, fmt.Sprintf("%s %s=%s", c.MachineID, c.Key, c.Value))
	}
	if more := len(changes) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}

var metadataPath = regexp.MustCompile(`^/([^/]+)/metadata/([A-Za-z0-9_.-]+)$`)

// change reads the change that an operation asks for.
func change(o schema.Operation) (schema.MetadataChange, error) {
	parts := metadataPath.FindStringSubmatch(o.Path)
	if parts == nil || len(o.Path) > maxText {
		return schema.MetadataChange{}, fmt.Errorf("path %.80q is not /MACHINE/metadata/KEY, with a key of A-Z a-z 0-9 _ . -", o.Path)
	}
	c := schema.MetadataChange{MachineID: parts[1], Key: parts[2]}
	switch o.Op {
	case "remove":
	case "add", "replace":
		c.Value = string(o.Value)
		if c.Value == "" {
			return c, fmt.Errorf("%s needs a value", o.Op)
		}
	default:
		return c, fmt.Errorf("op %.80q is not add, remove or replace", o.Op)
	}
	return c, checkText(c.Value)
}

// checkText refuses text that would break the lines of lists and logs.
func checkText(text string) error {
	if len(text) > maxText {
		return fmt.Errorf("text is longer than %d bytes", maxText)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("text %.80q has control characters", text)
	}
	return nil
}

func (s *server) drain(r *http.Request, by string) (reply, error) {
	if err := checkType(r, jsonType); err != nil {
		return reply{}, err
	}
	var request schema.DrainRequest
	if err := decode(r, &request); err != nil {
		return reply{}, err
	}
	if err := checkText(request.Reason); err != nil {
		return reply{}, refuse(http.StatusBadRequest, "reason: %w", err)
	}
	done := reply{code: http.StatusNoContent, did: "drain: " + request.Reason}
	return done, s.cluster.SetDrain(r.Context(), by, r.PathValue("id"), &request)
}

func (s *server) undrain(r *http.Request, by string) (reply, error) {
	done := reply{code: http.StatusNoContent, did: "end of the drain"}
	return done, s.cluster.SetDrain(r.Context(), by, r.PathValue("id"), nil)
}

func (s *server) rebalance(r *http.Request, by string) (reply, error) {
	moved, err := s.cluster.Rebalance(r.Context(), by)
	return reply{code: http.StatusOK, body: schema.Rebalanced{Moved: moved}, did: fmt.Sprintf("moved %d units", moved)}, err
}
