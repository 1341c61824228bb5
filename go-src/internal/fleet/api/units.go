package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"coreos/internal/fleet/unitfile"
)

func (s *server) listUnits(r *http.Request, _ string) (reply, error) {
	all, err := s.cluster.Units(r.Context())
	if err != nil {
		return reply{}, err
	}
	items, next, err := page(s.PageSize, r.URL, all)
	return reply{code: http.StatusOK, body: UnitPage{items, next}}, err
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

// missing has upstream's text of a unit that is not there.
func missing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return &Error{Code: http.StatusNotFound, Message: "unit does not exist", cause: err}
	}
	return err
}

// putUnit creates a unit or has one wanted in another state, by whether there is one of
// that name with the same options.
func (s *server) putUnit(r *http.Request, by string) (reply, error) {
	u, file, err := readUnit(r)
	if err != nil {
		return reply{}, err
	}
	old, err := s.cluster.Unit(r.Context(), u.Name)
	switch {
	case errors.Is(err, ErrNotFound):
		if file == nil {
			return reply{}, refuse(http.StatusConflict, "unit does not exist and options field empty")
		}
	case err != nil:
		return reply{}, err
	case file == nil || old.File().Hash() == file.Hash():
		if u.DesiredState == "" {
			return reply{}, refuse(http.StatusConflict, "unit exists: its desiredState or other options are needed to change it")
		}
		done := reply{code: http.StatusNoContent, did: "wanted " + u.DesiredState}
		return done, missing(s.cluster.SetDesired(r.Context(), by, u.Name, u.DesiredState))
	}
	if u.DesiredState == "" {
		u.DesiredState = Inactive
	}
	done := reply{code: http.StatusCreated, did: "new version " + file.Hash().Short() + ", wanted " + u.DesiredState}
	return done, s.cluster.Create(r.Context(), by, Unit{Name: u.Name, Options: u.Options, DesiredState: u.DesiredState})
}

// readUnit reads the unit of a request, and its file if it has options.
func readUnit(r *http.Request) (Unit, *unitfile.File, error) {
	var u Unit
	if err := checkType(r); err != nil {
		return u, nil, err
	}
	if err := decode(r, &u); err != nil {
		return u, nil, err
	}
	if path := r.PathValue("name"); u.Name == "" {
		u.Name = path
	} else if u.Name != path {
		return u, nil, refuse(http.StatusBadRequest, "name in URL %.80q differs from unit name in request body %.80q", path, u.Name)
	}
	name, err := unitfile.ParseName(u.Name)
	if err != nil {
		return u, nil, refuse(http.StatusBadRequest, "%w", err)
	}
	if err := checkDesired(name, u.DesiredState); err != nil {
		return u, nil, refuse(http.StatusBadRequest, "%w", err)
	}
	if len(u.Options) == 0 {
		return u, nil, nil
	}
	file, err := checkFile(name, u.File())
	if err != nil {
		return u, nil, refuse(http.StatusBadRequest, "%w", err)
	}
	u.SetFile(file)
	return u, file, nil
}

func checkDesired(name unitfile.Name, state string) error {
	if state != "" && !slices.Contains([]string{Inactive, Loaded, Launched}, state) {
		return fmt.Errorf("desiredState %.80q is not %s, %s or %s", state, Inactive, Loaded, Launched)
	}
	if name.IsTemplate() && state != "" && state != Inactive {
		return fmt.Errorf("cannot activate template %q: only its instances can be %s", name.Full, state)
	}
	return nil
}

// checkFile refuses a file that systemd would read as another one than was sent, and
// requirements that cannot be. It returns the file as it will be read.
func checkFile(name unitfile.Name, sent *unitfile.File) (*unitfile.File, error) {
	for i, o := range sent.Options {
		if o.Section == "" || o.Name == "" {
			return nil, fmt.Errorf("option %d has no section or no name", i+1)
		}
	}
	file, err := unitfile.Parse(sent.String())
	if err != nil {
		return nil, err
	}
	if !sameOptions(sent, file) {
		return nil, errors.New("the options are not what the lines of a unit file can say")
	}
	_, err = file.Requirements(name)
	return file, err
}

// checkType asks for a body of JSON.
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
