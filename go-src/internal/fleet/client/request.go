package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"coreos/internal/cli/redact"
	"coreos/internal/fleet/schema"
	"coreos/internal/host/bounded"
)

// Bounds of what a server can send.
const (
	maxAnswer = 64 << 20
	maxPages  = 1 << 16
)

// list reads all pages of a list.
func list[Page, Item any](ctx context.Context, c *Client, path string, open func(Page) ([]Item, string)) (all []Item, err error) {
	token := ""
	for range maxPages {
		var page Page
		if err := c.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		items, next := open(page)
		if all = append(all, items...); next == "" {
			return all, nil
		}
		if next == token {
			break // the same page again
		}
		token = next
		path = withToken(path, next)
	}
	return nil, fmt.Errorf("%s does not answer as fleetd does: its list does not end", c.endpoint)
}

func withToken(path, token string) string {
	path, query, _ := strings.Cut(path, "?")
	values, _ := url.ParseQuery(query)
	values.Set("nextPageToken", token)
	return path + "?" + values.Encode()
}

// do sends a request and decodes the answer into answer, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == nil {
		text = nil
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+"/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	c.log.Debug("request", "method", method, "path", path, "error", err)
	if err != nil {
		return c.unreachable(err)
	}
	defer response.Body.Close()
	text, err = bounded.Read(response.Body, maxAnswer)
	if errors.Is(err, bounded.ErrTooLarge) {
		return fmt.Errorf("the answer of %s: %w", c.endpoint, err)
	}
	if err != nil {
		return c.unreachable(err)
	}
	if response.StatusCode >= 300 {
		return c.failure(response.StatusCode, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s does not answer as fleetd does: %w", c.endpoint, err)
	}
	return nil
}

// unreachable is the error of a request that got no answer.
func (c *Client) unreachable(err error) error {
	return fmt.Errorf("no answer from fleetd at %s: %w", c.endpoint, redact.WithoutURL(err))
}

// failure returns the error that an answer reports. It wraps the kind of error of package
// schema, if the status stands for one.
func (c *Client) failure(code int, text []byte) error {
	e := &schema.Error{Code: code}
	var body schema.ErrorBody
	if json.Unmarshal(text, &body) != nil || body.Error.Code == 0 {
		// Another server's 404 does not say that a unit is missing: there is no Cause.
		e.Message = fmt.Sprintf("%s does not answer as fleetd does: %d %s", c.endpoint, code, http.StatusText(code))
		return e
	}
	e.Message, e.Cause = body.Error.Message, schema.Kind(code)
	return e
}
