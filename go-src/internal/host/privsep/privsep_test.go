package privsep_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/host/privsep"
	"coreos/internal/host/privsep/privseptest"
)

func open(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCall(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	s := privseptest.Listen(t, map[string]privsep.Action{
		"double": func(_ context.Context, a json.RawMessage) (any, []*os.File, error) {
			var n int
			err := json.Unmarshal(a, &n)
			return 2 * n, nil, err
		},
		"long": func(context.Context, json.RawMessage) (any, []*os.File, error) { return long, nil, nil },
		"huge": func(context.Context, json.RawMessage) (any, []*os.File, error) {
			return strings.Repeat("x", 300<<10), nil, nil
		},
		"fail": func(context.Context, json.RawMessage) (any, []*os.File, error) {
			return nil, []*os.File{open(t, "secret")}, errors.New("the disk is away")
		},
		"files": func(context.Context, json.RawMessage) (any, []*os.File, error) {
			return "two", []*os.File{open(t, "one"), open(t, "other")}, nil
		},
	})
	var n int
	if err := s.Call(t.Context(), "double", 21, &n); err != nil || n != 42 {
		t.Errorf("double: %d, %v", n, err)
	}
	var text string
	if err := s.Call(t.Context(), "long", nil, &text); err != nil || text != long {
		t.Errorf("long: %d bytes, %v", len(text), err)
	}
	for action, want := range map[string]string{
		"fail": "the disk is away", "double": "cannot unmarshal", "none": `no action "none"`, "huge": "too large",
	} {
		if files, err := s.Files(t.Context(), action, "x", nil); err == nil || !strings.Contains(err.Error(), want) || len(files) > 0 {
			t.Errorf("%s: %v, %d files", action, err, len(files))
		}
	}
	files, err := s.Files(t.Context(), "files", nil, &text)
	if err != nil || text != "two" || len(files) != 2 {
		t.Fatalf("%q, %d files, %v", text, len(files), err)
	}
	for i, want := range []string{"one", "other"} {
		got, err := io.ReadAll(files[i])
		_ = files[i].Close()
		if err != nil || string(got) != want {
			t.Errorf("file %d: %q, %v", i, got, err)
		}
	}
}

// TestHangUp has a client that does not wait for the end of its action.
func TestHangUp(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	s := privseptest.Listen(t, map[string]privsep.Action{"wait": func(ctx context.Context, _ json.RawMessage) (any, []*os.File, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return nil, nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if err := s.Call(ctx, "wait", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the client: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the action goes on")
	}
}

func TestBadRequests(t *testing.T) {
	s := privseptest.Listen(t, map[string]privsep.Action{"x": func(context.Context, json.RawMessage) (any, []*os.File, error) { return nil, nil, nil }})
	for text, want := range map[string]string{
		"\n":                                     "cannot be read",
		"x\n":                                    "cannot be read",
		"{\"action\":\"y\"}\n":                   "no action",
		"{\"action\":\"x\"}\n":                   "",
		strings.Repeat("x", 5000):                "too large",
		"{\"action\":\"x\"}{\"action\":\"x\"}\n": "cannot be read",
	} {
		conn, err := net.Dial("unix", string(s))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		var r struct{ Error string }
		if err := json.NewDecoder(conn).Decode(&r); err != nil || !strings.Contains(r.Error, want) || (r.Error == "") != (want == "") {
			t.Errorf("%.40q: %q, %v", text, r.Error, err)
		}
		_ = conn.Close()
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("{\"action\":\"x\",\"argument\":1}\n"))
	f.Add([]byte("\n"))
	s := privseptest.Listen(f, map[string]privsep.Action{"x": func(context.Context, json.RawMessage) (any, []*os.File, error) { return nil, nil, nil }})
	f.Fuzz(func(t *testing.T, text []byte) {
		conn, err := net.Dial("unix", string(s))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(append(text, '\n'))
		var r struct{ Error string }
		if err := json.NewDecoder(conn).Decode(&r); err != nil {
			t.Fatalf("no answer: %v", err)
		}
	})
}

func TestCopies(t *testing.T) {
	dir, from := t.TempDir(), t.TempDir()
	key := filepath.Join(from, "client.key")
	if err := os.WriteFile(key, []byte("a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := privsep.Copies(dir)
	if err := c.Make("", key, filepath.Join(from, "none")); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, strings.ReplaceAll(key[1:], "/", "-"))
	if got, err := os.ReadFile(copied); err != nil || string(got) != "a key" {
		t.Errorf("%q, %v", got, err)
	}
	if info, err := os.Stat(copied); err != nil || info.Mode() != 0o400 {
		t.Errorf("%v, %v", info, err)
	}
	if got := c.Find(key); got != key {
		t.Errorf("a file that can be read is %s", got)
	}
	if got := c.Find(filepath.Join(from, "none")); got != filepath.Join(from, "none") {
		t.Errorf("a file that does not exist is %s", got)
	}
	if err := c.Make(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(copied); err == nil {
		t.Error("an old copy is left")
	}
	if err := c.Make(from); err == nil {
		t.Error("a directory is copied")
	}
}
