package download

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// wanted are ranges of content.
func wanted() (offsets []int64, b [][]byte) {
	return []int64{0, 5000, 100_000}, [][]byte{make([]byte, 1), make([]byte, 4000), make([]byte, 70)}
}

func wantRanges(t *testing.T, offsets []int64, b [][]byte) {
	t.Helper()
	for i, offset := range offsets {
		if !bytes.Equal(b[i], content[offset:][:len(b[i])]) {
			t.Errorf("range %d has other bytes", i)
		}
	}
}

func TestReadRanges(t *testing.T) {
	var requests atomic.Int64
	d := Directory{client(t, Options{}), serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		good(w, r)
	})}
	offsets, b := wanted()
	if err := d.ReadRanges(context.Background(), "file", offsets, b); err != nil {
		t.Fatal(err)
	}
	wantRanges(t, offsets, b)
	if got := requests.Load(); got != 1 {
		t.Errorf("%d requests", got)
	}
}

// multipartAnswer writes a response with parts, whose Content-Range and body the caller
// gives in turn.
func multipartAnswer(w http.ResponseWriter, parts ...string) {
	w.Header().Set("Content-Type", "multipart/byteranges; boundary=THAT")
	w.WriteHeader(http.StatusPartialContent)
	for i := 0; i < len(parts); i += 2 {
		fmt.Fprintf(w, "\r\n--THAT\r\nContent-Range: %s\r\n\r\n%s", parts[i], parts[i+1])
	}
	fmt.Fprint(w, "\r\n--THAT--\r\n")
}

// endless writes without end.
func endless(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

func TestReadRangesFromBadServers(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	begin := func(w http.ResponseWriter, kind string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(http.StatusPartialContent)
	}
	tests := map[string]badServer{
		"the whole file": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }, errors.ErrUnsupported, 1},
		"the first range": {func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-0")
			good(w, r)
		}, errors.ErrUnsupported, 1},
		"joined ranges": {func(w http.ResponseWriter, _ *http.Request) {
			multipartAnswer(w, "bytes 0-9000/131072", string(content[:9000]))
		}, errors.ErrUnsupported, 1},
		"another order": {func(w http.ResponseWriter, _ *http.Request) {
			multipartAnswer(w, "bytes 5000-8999/131072", string(content[5000:9000]), "bytes 0-0/131072", "0")
		}, errors.ErrUnsupported, 1},
		"too many for it": {status(http.StatusRequestedRangeNotSatisfiable), errors.ErrUnsupported, 1},
		"bad request":     {status(http.StatusBadRequest), errors.ErrUnsupported, 1},
		"not there":       {http.NotFound, fs.ErrNotExist, 1},
		"broken":          {status(http.StatusBadGateway), ErrStatus, 3},
		"no boundary":     {func(w http.ResponseWriter, _ *http.Request) { begin(w, "multipart/byteranges") }, nil, 3},
		"no part":         {func(w http.ResponseWriter, _ *http.Request) { multipartAnswer(w) }, errors.ErrUnsupported, 1},
		"a short part": {func(w http.ResponseWriter, _ *http.Request) {
			multipartAnswer(w, "bytes 0-0/131072", "")
		}, io.ErrUnexpectedEOF, 3},
		"an endless preamble": {func(w http.ResponseWriter, _ *http.Request) {
			begin(w, "multipart/byteranges; boundary=THAT")
			endless(w, "x\r\n")
		}, errors.ErrUnsupported, 1},
		"an endless header": {func(w http.ResponseWriter, _ *http.Request) {
			begin(w, "multipart/byteranges; boundary=THAT")
			fmt.Fprint(w, "--THAT\r\nA: ")
			endless(w, strings.Repeat("x", 1000))
		}, errors.ErrUnsupported, 1},
		"an endless part": {func(w http.ResponseWriter, _ *http.Request) {
			begin(w, "multipart/byteranges; boundary=THAT")
			fmt.Fprint(w, "--THAT\r\nContent-Range: bytes 0-0/131072\r\n\r\n")
			endless(w, strings.Repeat("x", 1000))
		}, errors.ErrUnsupported, 2}, // the second response begins with a range that was there
		"stalls": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ErrStalled, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.wantFailure(t, 500*time.Millisecond, func(d Directory) error {
				offsets, b := wanted()
				return d.ReadRanges(context.Background(), "file", offsets, b)
			})
		})
	}
}

// A server that sends one part and closes is asked only for what it has not sent.
func TestReadRangesResumes(t *testing.T) {
	var asked []string
	d := Directory{client(t, Options{}), serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		spans := strings.Split(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), ",")
		if len(spans) == 1 {
			good(w, r)
			return
		}
		var first, last int
		_, _ = fmt.Sscanf(spans[0], "%d-%d", &first, &last)
		hijack(w, fmt.Sprintf("HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=THAT\r\nContent-Length: 99999\r\n\r\n"+
			"--THAT\r\nContent-Range: bytes %d-%d/*\r\n\r\n%s\r\n--THAT\r\n", first, last, content[first:last+1]))
	})}
	offsets, b := wanted()
	if err := d.ReadRanges(context.Background(), "file", offsets, b); err != nil {
		t.Fatal(err)
	}
	wantRanges(t, offsets, b)
	if want := []string{"bytes=0-0,5000-8999,100000-100069", "bytes=5000-8999,100000-100069", "bytes=100000-100069"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// A server that sends a part of the ranges, as lighttpd does, is asked for the rest.
func TestReadRangesFromAServerWithALimit(t *testing.T) {
	var requests atomic.Int64
	d := Directory{client(t, Options{Attempts: 2}), serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		spans := strings.Split(r.Header.Get("Range"), ",")
		r.Header.Set("Range", strings.Join(spans[:min(2, len(spans))], ","))
		good(w, r)
	})}
	var offsets []int64
	var b [][]byte
	for offset := int64(0); offset < 9000; offset += 1000 {
		offsets, b = append(offsets, offset), append(b, make([]byte, 100))
	}
	if err := d.ReadRanges(context.Background(), "file", offsets, b); err != nil {
		t.Fatal(err)
	}
	wantRanges(t, offsets, b)
	if got := requests.Load(); got != 5 {
		t.Errorf("%d requests for 9 ranges, want 5", got)
	}
}
