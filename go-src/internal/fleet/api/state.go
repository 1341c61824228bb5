package api

import (
	"net/http"
	"slices"

	"coreos/internal/fleet/schema"
)

func (s *server) listStates(r *http.Request, _ string) (reply, error) {
	all, err := s.cluster.States(r.Context())
	if err != nil {
		return reply{}, err
	}
	query := r.URL.Query()
	machine, name := query.Get("machineID"), query.Get("unitName")
	if machine != "" || name != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(state schema.UnitState) bool {
			return machine != "" && state.MachineID != machine || name != "" && state.Name != name
		})
	}
	items, next, err := page(s.PageSize, r.URL, all)
	return reply{code: http.StatusOK, body: schema.UnitStatePage{States: items, NextPageToken: next}}, err
}

// getState returns the first state of a unit. Only a global unit has more than one.
func (s *server) getState(r *http.Request, _ string) (reply, error) {
	all, err := s.cluster.States(r.Context())
	if err != nil {
		return reply{}, err
	}
	i := slices.IndexFunc(all, func(state schema.UnitState) bool { return state.Name == r.PathValue("name") })
	if i < 0 {
		return reply{}, refuse(http.StatusNotFound, "unit state does not exist")
	}
	return reply{code: http.StatusOK, body: all[i]}, nil
}
