package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

func (s *server) listUnits(r *http.Request, _ string) (reply, error) {
	all, err := s.cluster.Units(r.Context())
	if err != nil {
		return reply{}, err
	}
	items, next, err := page(s.PageSize, r.URL, all)
	return reply{code: http.StatusOK, body: schema.UnitPage{Units: items, NextPageToken: next}}, err
}

func (s *server) getUnit(r *http.Request, _ string) (reply, error) {
	u, err := s.cluster.Unit(r.Context(), r.PathValue("name"))
	return reply{code: http.StatusOK, body: u}, missing(err)
}

func (s *server) deleteUnit(r *http.Request, by string) (reply, error) {
	err := s.cluster.Destroy(r.Context(), by, r.PathValue("name"))
	return reply{code: http.StatusNoContent, did: "destroyed"}, missing(err)
}

func (s *server) why(r *http.Request, _ string) (reply, error) {
	reasons, err := s.cluster.Why(r.Context(), r.PathValue("name"))
	return reply{code: http.StatusOK, body: reasons}, missing(err)
}

// missing gives the error of an unknown unit the text that upstream sends.
func missing(err error) error {
	if errors.Is(err, schema.ErrNotFound) {
		return &schema.Error{Code: http.StatusNotFound, Message: "unit does not exist", Cause: err}
	}
	return err
}

// mustBeFree refuses a new unit with the name of a unit that this machine has already. Images have the
// same units on all machines.
func (s *server) mustBeFree(ctx context.Context, name string) error {
	where, err := s.Taken(ctx, name)
	if err != nil {
		return fmt.Errorf("whether the machine has a unit %s of its own is not known: %w", name, err)
	}
	if where != "" {
		return refuse(http.StatusConflict, "this machine has a unit %s of its own, from %s: give yours another name, or remove that one", name, where)
	}
	return nil
}

// putUnit sets the desired state of a unit that exists with the same options. Otherwise it
// creates the unit or replaces its file.
func (s *server) putUnit(r *http.Request, by string) (reply, error) {
	u, file, err := readUnit(r)
	if err != nil {
		return reply{}, err
	}
	old, err := s.cluster.Unit(r.Context(), u.Name)
	switch {
	case errors.Is(err, schema.ErrNotFound):
		if file == nil {
			return reply{}, refuse(http.StatusConflict, "unit does not exist and options field empty")
		}
		if err := s.mustBeFree(r.Context(), u.Name); err != nil {
			return reply{}, err
		}
	case err != nil:
		return reply{}, err
	case file == nil || unitfile.Of(old).Hash() == file.Hash():
		if u.DesiredState == "" {
			return reply{}, refuse(http.StatusConflict, "unit exists: send a desiredState or other options to change it")
		}
		done := reply{code: http.StatusNoContent, did: "wanted " + u.DesiredState}
		return done, missing(s.cluster.SetDesired(r.Context(), by, u.Name, u.DesiredState))
	}
	if u.DesiredState == "" {
		u.DesiredState = schema.Inactive
	}
	done := reply{code: http.StatusCreated, did: "new version " + file.Hash().Short() + ", wanted " + u.DesiredState}
	return done, s.cluster.Create(r.Context(), by, schema.Unit{Name: u.Name, Options: u.Options, DesiredState: u.DesiredState})
}
