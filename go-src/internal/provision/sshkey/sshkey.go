// Package sshkey checks lines of an authorized_keys file (sshd(8)), wherever they come from:
// a config, a platform's metadata, a URL.
package sshkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// MaxLine is the size limit of a line in bytes. sshd reads no longer ones.
const MaxLine = 8 << 10

// Want describes a valid line, for messages.
const Want = "a line of authorized_keys, as in ssh-ed25519 AAAA… name"

// looksLikeKey matches a type of key that is followed by base64. Options may be before it.
var looksLikeKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[ \t])(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+[ \t]+[A-Za-z0-9+/]+={0,3}(?:[ \t]|$)`)
})

// Check checks a line. A line that is no key has the error. A line that looks like a key, but
// that sshd does not accept, has a warning.
func Check(line string) (warning string, err error) {
	line = strings.TrimSpace(line)
	if strings.ContainsAny(line, "\n\r\x00") || len(line) > MaxLine || !looksLikeKey().MatchString(line) {
		return "", fmt.Errorf("%.80q: want %s", line, Want)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return fmt.Sprintf("%.80q: sshd does not accept this key: it is cut off or damaged", line), nil
	case key.Type() == "ssh-dss":
		return fmt.Sprintf("%.80q: sshd does not accept keys of the type ssh-dss", line), nil
	}
	return "", nil
}

// Lines returns the lines of a text without comments and empty lines.
func Lines(text string) []string {
	var lines []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// maxErrors is the limit of the errors that Document returns.
const maxErrors = 5

// Document returns the keys of a document from a URL: lines of an authorized_keys file, or the
// JSON list of GitHub's API (https://docs.github.com/rest/users/keys), whose objects have the
// line as "key". Lines that are no keys are left out, and are in the error.
func Document(text []byte) (keys, warnings []string, err error) {
	lines := Lines(string(text))
	text = bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(text, []byte("[")):
		if lines, err = jsonKeys(text); err != nil {
			return nil, nil, err
		}
	case bytes.HasPrefix(text, []byte("{")):
		return nil, nil, errors.New("it is a JSON object: want a list of keys")
	case bytes.HasPrefix(text, []byte("<")):
		return nil, nil, errors.New("it is an HTML or XML page: want keys")
	}
	var failed []error
	for _, line := range lines {
		warning, err := Check(line)
		switch {
		case err != nil:
			failed = append(failed, err)
			continue
		case warning != "":
			warnings = append(warnings, warning)
		}
		keys = append(keys, line)
	}
	if more := len(failed) - maxErrors; more > 0 {
		failed = append(failed[:maxErrors], fmt.Errorf("%d more lines are no keys", more))
	}
	return keys, warnings, errors.Join(failed...)
}

// jsonKeys returns the keys of a JSON list.
func jsonKeys(text []byte) ([]string, error) {
	var list []struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("its JSON is not a list of objects with a key: %w", err)
	}
	var lines []string
	for _, each := range list {
		lines = append(lines, strings.TrimSpace(each.Key))
	}
	return lines, nil
}
