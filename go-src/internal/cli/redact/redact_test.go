package redact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"
)

const secret = "s3cret"

func TestURL(t *testing.T) {
	for address, want := range map[string]string{
		"":                                   "",
		"https://example.com/v1/update/":     "https://example.com/v1/update/",
		"https://user:s3cret@example.com/x":  "https://xxxxx@example.com/x",
		"https://s3cret@example.com":         "https://xxxxx@example.com",
		"http://u:s3cret@[fe80::1]:80/a@b/c": "http://xxxxx@[fe80::1]:80/a@b/c",
		"https://a.com/f?token=s3cret&v=1":   "https://a.com/f?xxxxx",
		"http://u:s3cret@a.com/f?x=s3cret":   "http://xxxxx@a.com/f?xxxxx",
		"http://u:pa%s3cret@a.com/":          "http://xxxxx@a.com/",
		"http://u:s3cret/s3cret@a.com/":      "http://xxxxx@a.com/",
		"http://u:s3cret?s3cret@a.com/":      "http://xxxxx@a.com/",
		"http://u:12#s3cret@a.com/":          "http://xxxxx@a.com/",
		"http://u:12/s3cret@a.com/":          "http://xxxxx@a.com/",
		"http://registry/app@sha256":         "http://registry/app@sha256",
		"http://u:s3cret s3cret@a.com/?s=1":  "http://xxxxx@a.com/?xxxxx",
		"u:s3cret@proxy:3128":                "xxxxx@proxy:3128",
		"proxy:3128":                         "proxy:3128",
		"http://a b/":                        "http://a b/",
		"unix:///run/fleet.sock":             "unix:///run/fleet.sock",
	} {
		if got := URL(address); got != want || strings.Contains(got, secret) {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"no URL: a@b":                                  "no URL: a@b",
		`Get "https://u:s3cret@a.com/x": EOF`:          `Get "https://xxxxx@a.com/x": EOF`,
		"http://u:s3cret@a, http://s3cret@b: refused":  "http://xxxxx@a, http://xxxxx@b: refused",
		`error="Get \"http://u:s3\\\"cret@a/x\": EOF"`: `error="Get \"http://xxxxx@a/x\": EOF"`,
		`to "https://s3.com/f?X-Sig=s3cret&a=b": 403`:  `to "https://s3.com/f?xxxxx": 403`,
		"http://a/app@1.service and http://b":          "http://a/app@1.service and http://b",
	} {
		if got := Text(text); got != want || strings.Contains(got, secret) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestError(t *testing.T) {
	err := Error(fmt.Errorf("read http://u:s3cret@a/x: %w", fs.ErrNotExist))
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
	if Error(nil) != nil || !errors.Is(Error(fs.ErrExist), fs.ErrExist) {
		t.Error("an error without a secret changed")
	}
}

func TestProxy(t *testing.T) {
	find := func(address string) (*url.URL, error) { return url.Parse(address) }
	if _, err := Proxy(find)("http://me:s3/cret@proxy"); err == nil || strings.Contains(err.Error(), "s3") {
		t.Errorf("error %v", err)
	}
	if u, err := Proxy(find)("http://me:s3cret@proxy"); err != nil || u.Host != "proxy" {
		t.Errorf("%v, error %v", u, err)
	}
}

func TestWriter(t *testing.T) {
	var to bytes.Buffer
	text := "WARN not updated error=http://u:s3cret@a/x\n"
	if n, err := (Writer{&to}).Write([]byte(text)); n != len(text) || err != nil || to.String() != "WARN not updated error=http://xxxxx@a/x\n" {
		t.Errorf("%d, %v: %s", n, err, to.String())
	}
}

func FuzzURL(f *testing.F) {
	f.Add("s3cret", "example.com/x?y")
	f.Fuzz(func(t *testing.T, password, rest string) {
		// The address "http://user:a@b/c@d" has the password "a", whatever its writer meant.
		if len(password) < 4 || strings.ContainsAny(password, "@") || strings.Contains(Hidden+"http://user@"+rest, password) {
			return
		}
		if got := URL("http://user:" + password + "@" + rest); strings.Contains(got, password) {
			t.Errorf("%q", got)
		}
	})
}
