package api

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

// description is what generators of clients read of the API
// (https://developers.google.com/discovery/v1/reference/apis).
//
//go:embed discovery.json
var description json.RawMessage

func discovery(*http.Request, string) (reply, error) {
	return reply{code: http.StatusOK, body: description}, nil
}
