package omaha

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"coreos/internal/cli/redact"
	"coreos/internal/host/lookup"
)

// Client sends requests to an Omaha server.
type Client struct {
	// URL is the URL to which requests are posted, such as
	// "https://update.example.com/v1/update/".
	URL string
	// HTTP makes the requests, with its time limits and proxies.
	HTTP *http.Client
}

// Do sends a request and reads the response.
func (c *Client) Do(ctx context.Context, request *Request) (*Response, error) {
	var body bytes.Buffer
	if err := write(&body, request); err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, &body)
	if err != nil {
		return nil, fmt.Errorf("update server %s: %w", redact.URL(c.URL), redact.WithoutURL(err))
	}
	post.Header.Set("Content-Type", "text/xml; charset=utf-8")
	got, err := c.HTTP.Do(post)
	if err != nil {
		return nil, fmt.Errorf("ask the update server %s: %w", redact.URL(c.URL), lookup.Explain(redact.WithoutURL(err)))
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		// A short answer helps the operator.
		text, _ := io.ReadAll(io.LimitReader(got.Body, 200))
		return nil, fmt.Errorf("the update server %s answers %s: %q", redact.URL(c.URL), got.Status, bytes.TrimSpace(text))
	}
	response, err := ReadResponse(got.Body)
	if err != nil {
		return nil, fmt.Errorf("answer of the update server %s: %w", redact.URL(c.URL), err)
	}
	return response, nil
}
