package omaha

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Client asks a server.
type Client struct {
	// URL is where requests are posted: "https://update.example.com/v1/update/".
	URL string
	// HTTP does the requests; its time limits and proxies count.
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
		return nil, fmt.Errorf("update server: %w", err)
	}
	post.Header.Set("Content-Type", "text/xml; charset=utf-8")
	got, err := c.HTTP.Do(post)
	if err != nil {
		return nil, fmt.Errorf("asking the update server: %w", err)
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		// What the server says helps the operator, if it is short.
		text, _ := io.ReadAll(io.LimitReader(got.Body, 200))
		return nil, fmt.Errorf("asking the update server %s: %s: %q", c.URL, got.Status, bytes.TrimSpace(text))
	}
	response, err := ReadResponse(got.Body)
	if err != nil {
		return nil, fmt.Errorf("answer of the update server %s: %w", c.URL, err)
	}
	return response, nil
}
