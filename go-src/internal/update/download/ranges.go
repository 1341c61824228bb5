package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"coreos/internal/cli/redact"
)

// ReadRange fills b with the bytes of a file from offset on. After an error it requests
// only the bytes that are missing. It returns errors.ErrUnsupported if the server sends
// only whole files.
func (d Directory) ReadRange(ctx context.Context, name string, offset int64, b []byte) error {
	got := 0
	err := d.Client.retry(ctx, func() error {
		n, err := d.readRange(ctx, name, offset+int64(got), b[got:])
		got += n
		return err
	})
	if err != nil {
		return fmt.Errorf("download %s, bytes %d to %d: %w", redact.URL(d.url(name)), offset, offset+int64(len(b))-1, err)
	}
	return nil
}

func (d Directory) readRange(ctx context.Context, name string, offset int64, b []byte) (int, error) {
	response, err := d.Client.get(ctx, d.url(name), "bytes="+span(offset, b))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent {
		return 0, errors.ErrUnsupported
	}
	return readPart(response.Header.Get("Content-Range"), response.Body, offset, b)
}

// readPart fills b with the bytes from offset on. contentRange is what the server says that
// it sends; a shorter range is an unexpected end.
func readPart(contentRange string, body io.Reader, offset int64, b []byte) (int, error) {
	var first, last int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/", &first, &last); err != nil || first != offset || last > offset+int64(len(b))-1 {
		return 0, fmt.Errorf("%w: %.80q", ErrRange, contentRange)
	}
	n, err := io.ReadFull(body, b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// span returns the range that fills b from offset on, as it is in a Range header.
func span(offset int64, b []byte) string {
	return fmt.Sprintf("%d-%d", offset, offset+int64(len(b))-1)
}

// ReadRanges fills each b[i] with the bytes of a file from offsets[i] on, by one request for
// several ranges (RFC 9110, section 14). The ranges must be in ascending order, with gaps
// between them. After an error it requests only the ranges that are missing. It returns
// errors.ErrUnsupported if the server does not send several ranges in one response: most web
// servers do, object stores do not.
func (d Directory) ReadRanges(ctx context.Context, name string, offsets []int64, b [][]byte) error {
	for got := 0; got < len(b); {
		err := d.Client.retry(ctx, func() error {
			n, err := d.readRanges(ctx, name, offsets[got:], b[got:])
			got += n
			return err
		})
		if err != nil {
			return fmt.Errorf("download %s, %d ranges from byte %d on: %w", redact.URL(d.url(name)), len(offsets)-got, offsets[got], err)
		}
	}
	return nil
}

// readRanges returns how many ranges were read: at least one if there is no error, and maybe
// fewer than requested, since lighttpd sends at most ten.
func (d Directory) readRanges(ctx context.Context, name string, offsets []int64, b [][]byte) (int, error) {
	if len(b) == 1 {
		// The response to one range has no parts.
		n, err := d.readRange(ctx, name, offsets[0], b[0])
		return n / len(b[0]), err
	}
	spans, size := make([]string, len(b)), int64(0)
	for i := range b {
		spans[i], size = span(offsets[i], b[i]), size+int64(len(b[i]))
	}
	response, err := d.Client.get(ctx, d.url(name), "bytes="+strings.Join(spans, ","))
	if err != nil {
		return 0, refused(err)
	}
	defer response.Body.Close()
	kind, params, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if response.StatusCode != http.StatusPartialContent || err != nil || kind != "multipart/byteranges" {
		return 0, errors.ErrUnsupported
	}
	body := io.LimitReader(response.Body, size+int64(len(b)+1)*maxPartHeader)
	parts := multipart.NewReader(body, params["boundary"])
	for i := range b {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) && i > 0 {
			return i, nil
		}
		if errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("%w: a response without parts", errors.ErrUnsupported)
		}
		if err != nil {
			return i, fmt.Errorf("range %d of %d: %w", i+1, len(b), err)
		}
		_, err = readPart(part.Header.Get("Content-Range"), part, offsets[i], b[i])
		if errors.Is(err, ErrRange) {
			// A server may change the order of the ranges, or join some.
			return i, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		if err != nil {
			return i, err
		}
	}
	// The end is read, so that the connection can be used again.
	_, _ = io.Copy(io.Discard, body)
	return len(b), nil
}

// maxPartHeader is the limit of the average header of a part in bytes.
const maxPartHeader = 1 << 10

// refused makes an error about a request for several ranges an errors.ErrUnsupported if the
// server may send the same ranges one by one.
func refused(err error) error {
	if errors.Is(err, ErrStatus) && isPermanent(err) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}
