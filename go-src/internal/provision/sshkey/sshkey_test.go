package sshkey

import (
	"slices"
	"strings"
	"testing"
)

const good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b3"

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		line    string
		warning string
		bad     bool
	}{
		"good":           {good + " op@example.com", "", false},
		"no comment":     {good, "", false},
		"options":        {`command="echo ssh-rsa x",no-pty,from="10.0.0.0/8" ` + good + " op", "", false},
		"an authority":   {"cert-authority " + good, "", false},
		"cut off":        {good[:60] + " op", "cut off or damaged", false},
		"another type":   {strings.Replace(good, "ssh-ed25519", "ssh-rsa", 1), "cut off or damaged", false},
		"DSA":            {"ssh-dss " + dss, "ssh-dss", false},
		"empty":          {"", "", true},
		"one word":       {"AAAAC3NzaC1lZDI1NTE5", "", true},
		"HTML":           {`<a href="/x">ssh-rsa keys of the user</a> <p>`, "", true},
		"JSON":           {`    "key": "` + good + `"`, "", true},
		"a sentence":     {"Not Found", "", true},
		"two lines":      {good + "\n" + good, "", true},
		"a private key":  {"-----BEGIN OPENSSH PRIVATE KEY-----", "", true},
		"an SSH2 header": {`Comment: "rsa-key-20250101"`, "", true},
		"too long":       {good + " " + strings.Repeat("x", MaxLine), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			warning, err := Check(test.line)
			if (err != nil) != test.bad || !strings.Contains(warning, test.warning) || (warning == "") != (test.warning == "") {
				t.Errorf("warning %q, error %v", warning, err)
			}
		})
	}
}

const dss = "AAAAB3NzaC1kc3MAAAAFAO8AAAEAAAAFAO8AAAEAAAAFAO8AAAEAAAAFAO8AAAE="

func TestDocument(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
		err  string
	}{
		"lines":           {"# mine\r\n" + good + " a\r\n\n  " + good + " b\n", []string{good + " a", good + " b"}, ""},
		"GitHub's API":    {`[{"id": 1, "key": "` + good + `"}, {"id": 2, "key": "` + good + ` b"}]`, []string{good, good + " b"}, ""},
		"none":            {"", nil, ""},
		"none, as JSON":   {"[]\n", nil, ""},
		"a page":          {"\n<!DOCTYPE html>\n<html><body>ssh-rsa AAAA</body></html>\n", nil, "HTML"},
		"an error":        {`{"message": "Not Found"}`, nil, "JSON object"},
		"broken JSON":     {`[{"id": 1, "key": "` + good, nil, "JSON"},
		"another list":    {`["` + good + `"]`, nil, "list of objects with a key"},
		"no key in it":    {`[{"id": 1, "title": "x"}, {"key": "` + good + `"}]`, []string{good}, "want a line of authorized_keys"},
		"a line that is":  {"Not a key\n" + good + "\n", []string{good}, `"Not a key": want`},
		"a key in a list": {`[{"key": "a\nb"}]`, nil, `want a line`},
		"many":            {strings.Repeat("x\n", 100), nil, "95 more lines are no keys"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := Document([]byte(test.text))
			if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, error %v", got, err)
			}
		})
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`[{"id": 1, "key": "` + good + `"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, _, _ := Document(text)
		for _, key := range keys {
			if strings.ContainsAny(key, "\n\r\x00") || len(key) > MaxLine {
				t.Errorf("key %q", key)
			}
		}
	})
}
