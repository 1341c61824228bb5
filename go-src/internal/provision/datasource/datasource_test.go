package datasource

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const config = "#cloud-config\nhostname: one\n"

// serve runs a server and returns its URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/"
}

// nobody is a URL that connections are refused at: the port is one of those that nothing
// is given by itself, and belongs to a protocol of long ago.
const nobody = "http://127.0.0.1:9/"

// answers answers by path, and 404 to all others. The query does not count.
type answers map[string]string

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, ok := a[r.URL.Path]
	if !ok || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, text)
}

// fetches are answers of metadata servers, and what a source has to return for each.
type fetches map[string]struct {
	answers answers
	want    *Data
	wantErr error
}

func (all fetches) check(t *testing.T, source func(url string) Source) {
	t.Helper()
	for name, test := range all {
		t.Run(name, func(t *testing.T) { check(t, source(serve(t, test.answers.ServeHTTP)), test.want, test.wantErr) })
	}
}

// fuzzInterfaces fuzzes the parser of a document that has interfaces.
func fuzzInterfaces(f *testing.F, document string, parse func([]byte) (Metadata, error)) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text)
		for _, each := range m.Network.Interfaces {
			checkInterface(t, each, err)
		}
	})
}

func pack(t testing.TB, text []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// check fetches once and compares; wantErr is an error that has to be in the chain, or
// nil.
func check(t *testing.T, s Source, want *Data, wantErr error) {
	t.Helper()
	got, err := s.Fetch(t.Context())
	if wantErr != nil {
		if !errors.Is(err, wantErr) {
			t.Errorf("got %+v and error %v, want %v", got, err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want.Source = s.Name()
	if len(got.UserData) == 0 {
		got.UserData = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// checkTransient wants an error that may go away.
func checkTransient(t *testing.T, s Source) {
	t.Helper()
	if got, err := s.Fetch(t.Context()); isFinal(err) {
		t.Errorf("got %+v and error %v, want one that may go away", got, err)
	}
}

func address(text string) netip.Addr  { return netip.MustParseAddr(text) }
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func fake(data *Data, err error) source {
	return source{"fake", func(context.Context) (*Data, error) { return data, err }}
}

func TestUserDataIsUnpacked(t *testing.T) {
	bomb := pack(t, bytes.Repeat([]byte{'#'}, MaxUserData+1))
	if len(bomb) > 64<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	packed := pack(t, []byte(config))
	tests := map[string]struct {
		text    []byte
		want    string
		wantErr error
	}{
		"plain":           {[]byte(config), config, nil},
		"none":            {nil, "", nil},
		"packed":          {packed, config, nil},
		"twice in a row":  {append(bytes.Clone(packed), packed...), config + config, nil},
		"the most":        {pack(t, bytes.Repeat([]byte{'#'}, MaxUserData)), strings.Repeat("#", MaxUserData), nil},
		"a bomb":          {bomb, "", ErrTooLarge},
		"too long":        {bytes.Repeat([]byte{'#'}, MaxUserData+1), "", ErrTooLarge},
		"cut short":       {packed[:len(packed)-5], "", ErrInvalid},
		"only its begin":  {packed[:2], "", ErrInvalid},
		"with a bad sum":  {append(bytes.Clone(packed[:len(packed)-8]), "12345678"...), "", ErrInvalid},
		"and then rubble": {append(bytes.Clone(packed), config...), "", ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := fake(&Data{UserData: test.text}, nil).Fetch(t.Context())
			if !errors.Is(err, test.wantErr) || err == nil && string(got.UserData) != test.want {
				t.Errorf("got %.80v, error %v", got, err)
			}
		})
	}
}

func TestMetadataIsTidied(t *testing.T) {
	got, err := fake(&Data{Metadata: Metadata{
		Hostname: " one.example.com two.example.com\n",
		SSHKeys:  []string{"ssh-rsa A a\r\n", "", "ssh-rsa B\n# none\nssh-rsa A a\n \nssh-rsa C"},
	}}, nil).Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{Hostname: "one.example.com", SSHKeys: []string{"ssh-rsa A a", "ssh-rsa B", "ssh-rsa C"}}
	if got.Source != "fake" || !reflect.DeepEqual(got.Metadata, want) {
		t.Errorf("got %+v", got)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte(config))
	f.Add(pack(f, []byte(config)))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := unpack(text); err == nil && len(got) > MaxUserData {
			t.Errorf("%d bytes", len(got))
		}
	})
}
