package api

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

// description is the description of the API that generators of clients read
// (https://developers.google.com/discovery/v1/reference/apis).
//
//go:embed discovery.json
var description json.RawMessage

func discovery(*http.Request, string) (reply, error) {
	return reply{code: http.StatusOK, body: description}, nil
}
