// Package redact removes secrets from URLs that people see: in errors, logs and states. User
// names go with the passwords, since a token may stand in either place, and so do the values
// of a query.
package redact

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"unicode"
)

// Hidden stands for what was removed.
const Hidden = "xxxxx"

// URL returns a URL without its secrets. The URL may be malformed, for example because of a
// character in the password that should have been escaped: then all of it before the last "@"
// is removed.
func URL(address string) string {
	start := 0
	if i := strings.Index(address, "://"); i >= 0 {
		start = i + len("://")
	}
	scheme, rest := address[:start], address[start:]
	end := authority(rest)
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User == nil && mayCutPassword(rest, end) {
		end = len(rest)
	}
	rest = hideUser(rest, end)
	if path, _, ok := strings.Cut(rest, "?"); ok {
		rest = path + "?" + Hidden
	}
	return scheme + rest
}

// authority returns the length of the authority, which ends before the path, the query or the
// fragment, of a URL without its scheme.
func authority(rest string) int {
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return i
	}
	return len(rest)
}

// mayCutPassword reports whether the end of an authority without an "@" may be a character of a
// password that should have been escaped, as in "user:12/34@host". Only a plain host with a path may
// have an "@" in that path.
func mayCutPassword(rest string, end int) bool {
	return strings.Contains(rest[:end], ":") || !strings.HasPrefix(rest[end:], "/") || strings.ContainsAny(rest, "?#")
}

// hideUser removes what stands before the last "@" within the first end bytes.
func hideUser(rest string, end int) string {
	if at := strings.LastIndex(rest[:end], "@"); at >= 0 {
		return Hidden + rest[at:]
	}
	return rest
}

// URLs is URL for several.
func URLs(addresses []string) []string {
	redacted := make([]string, 0, len(addresses))
	for _, address := range addresses {
		redacted = append(redacted, URL(address))
	}
	return redacted
}

// Text removes the secrets from the URLs in a text. A malformed URL is not recognised there:
// whoever puts one into a text calls URL.
func Text(text string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "://")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		end := len(rest)
		if i := strings.IndexFunc(rest, unicode.IsSpace); i >= 0 {
			end = i
		}
		b.WriteString("://" + word(rest[:end]))
		text = rest[end:]
	}
}

// word removes the secrets from a URL without its scheme, which may have quotes and other
// characters behind it.
func word(text string) string {
	text = hideUser(text, authority(text))
	path, query, ok := strings.Cut(text, "?")
	if !ok {
		return text
	}
	_, behind, quoted := strings.Cut(query, `"`)
	if path += "?" + Hidden; quoted {
		path += `"` + behind
	}
	return path
}

// redacted is an error whose text is another one.
type redacted struct {
	error
	text string
}

func (r redacted) Error() string { return r.text }
func (r redacted) Unwrap() error { return r.error }

// Error returns an error like err whose text has no secrets.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if text := Text(err.Error()); text != err.Error() {
		return redacted{err, text}
	}
	return err
}

// WithoutURL removes the URL that net/http adds to the errors of its client. The caller names
// the server in its own words.
func WithoutURL(err error) error {
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

// Proxy returns a function like find, such as http.ProxyFromEnvironment, whose errors do not quote
// the address of the proxy.
func Proxy[Request any](find func(Request) (*url.URL, error)) func(Request) (*url.URL, error) {
	return func(r Request) (*url.URL, error) {
		proxy, err := find(r)
		if err != nil {
			return nil, errors.New("the proxy in HTTPS_PROXY or HTTP_PROXY is not a valid URL")
		}
		return proxy, nil
	}
}

// Writer writes texts to To without their secrets. Each write is a whole text, as those of
// package log are.
type Writer struct{ To io.Writer }

// Write implements io.Writer.
func (w Writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.To, Text(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
