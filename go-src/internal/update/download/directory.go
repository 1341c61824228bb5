package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"coreos/internal/cli/redact"
	"coreos/internal/host/bounded"
)

// Directory is a directory of files on a server.
type Directory struct {
	Client *Client
	URL    string
}

func (d Directory) url(name string) string { return strings.TrimSuffix(d.URL, "/") + "/" + name }

// Open opens a whole file. The caller bounds how much it reads.
func (d Directory) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	var response *http.Response
	err := d.Client.retry(ctx, func() (err error) {
		response, err = d.Client.get(ctx, d.url(name), "")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", redact.URL(d.url(name)), err)
	}
	return response.Body, nil
}

// Get returns a whole file of at most most bytes, or fs.ErrNotExist if the server does not
// have it.
func (d Directory) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	var text []byte
	err := d.Client.retry(ctx, func() error {
		response, err := d.Client.get(ctx, d.url(name), "")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err = bounded.Read(response.Body, most)
		if errors.Is(err, bounded.ErrTooLarge) {
			err = fmt.Errorf("%w: %d bytes", ErrTooLong, most)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", redact.URL(d.url(name)), err)
	}
	return text, nil
}

// Sub returns a subdirectory.
func (d Directory) Sub(name string) Directory { return Directory{d.Client, d.url(name)} }
