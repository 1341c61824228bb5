package datasource

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// GCE is the metadata server of Google Compute Engine at a URL, such as
// http://metadata.google.internal/. User-data is the attribute user-data of the instance,
// in base64 if the attribute user-data-encoding says so. Keys are those of the instance
// and, unless it blocks them, of the project, for all users; expired keys are left out. See
// https://cloud.google.com/compute/docs/metadata/overview.
func GCE(address string) Source {
	s := newServer(address, "Metadata-Flavor", "Google")
	return source{"gce-metadata at " + s.root, func(ctx context.Context) (*Data, error) {
		return fetchGCE(ctx, gce{s, time.Now()})
	}}
}

// gce has the time at which keys must be valid.
type gce struct {
	server
	now time.Time
}

func fetchGCE(ctx context.Context, g gce) (*Data, error) {
	if err := g.check(ctx); err != nil {
		return nil, err
	}
	data := &Data{}
	var err error
	if err = g.userData(ctx, data); err != nil {
		return nil, err
	}
	m := &data.Metadata
	if m.Hostname, err = g.entryValue(ctx, "instance/hostname", m); err != nil {
		return nil, err
	}
	const first = "computeMetadata/v1/instance/network-interfaces/0/"
	if m.PrivateIPv4, err = g.address(ctx, first+"ip", m); err != nil {
		return nil, err
	}
	if m.PublicIPv4, err = g.address(ctx, first+"access-configs/0/external-ip", m); err != nil {
		return nil, err
	}
	if m.PrivateIPv6, m.PublicIPv6, err = g.ipv6(ctx, first+"ipv6s", m); err != nil {
		return nil, err
	}
	m.SSHKeys, err = g.keys(ctx, m)
	return data, err
}

// check checks that the server is Google's, by the header that Google documents.
func (g gce) check(ctx context.Context) error {
	_, header, err := g.do(ctx, http.MethodGet, "computeMetadata/v1/", nil, maxValue)
	if err != nil {
		return absentIfMissing(err)
	}
	if header.Get("Metadata-Flavor") != "Google" {
		return fmt.Errorf("%w: the server is not Google's", ErrAbsent)
	}
	return nil
}

// value returns the value of a key, empty if it is not set. Google permits values of 256
// KiB.
func (g gce) value(ctx context.Context, key string) (string, error) {
	text, err := g.optional(ctx, "computeMetadata/v1/"+key, maxDocument)
	return strings.TrimSpace(string(text)), err
}

// entryValue is value for an entry of the metadata.
func (g gce) entryValue(ctx context.Context, key string, m *Metadata) (string, error) {
	text, err := g.entry(ctx, "computeMetadata/v1/"+key, maxDocument, m)
	return strings.TrimSpace(string(text)), err
}

func (g gce) userData(ctx context.Context, data *Data) (err error) {
	if data.UserData, err = g.optional(ctx, "computeMetadata/v1/instance/attributes/user-data", MaxUserData); err != nil {
		return err
	}
	encoding, err := g.value(ctx, "instance/attributes/user-data-encoding")
	if err == nil && encoding == "base64" {
		data.UserData, data.Undecoded = decodeBase64(string(data.UserData))
	}
	return err
}

// ipv6 returns the first private and the first public address in a list.
func (g gce) ipv6(ctx context.Context, path string, m *Metadata) (private, public netip.Addr, err error) {
	text, err := g.entry(ctx, path, maxValue, m)
	if err != nil {
		return private, public, err
	}
	for line := range strings.Lines(string(text)) {
		address := m.address("ipv6s", line)
		switch {
		case address.IsPrivate() && !private.IsValid():
			private = address
		case address.IsGlobalUnicast() && !address.IsPrivate() && !public.IsValid():
			public = address
		}
	}
	return private, public, nil
}

// keys returns the keys of the instance and of the project. sshKeys is the old name: on an
// instance it replaces the keys of the project.
func (g gce) keys(ctx context.Context, m *Metadata) ([]string, error) {
	old, err := g.entryValue(ctx, "instance/attributes/sshKeys", m)
	if err != nil {
		return nil, err
	}
	block, err := g.entryValue(ctx, "instance/attributes/block-project-ssh-keys", m)
	if err != nil {
		return nil, err
	}
	own, err := g.entryValue(ctx, "instance/attributes/ssh-keys", m)
	if err != nil {
		return nil, err
	}
	keys := append(parseGCEKeys(own, g.now), parseGCEKeys(old, g.now)...)
	if old != "" || strings.EqualFold(block, "true") {
		return keys, nil
	}
	for _, name := range []string{"ssh-keys", "sshKeys"} {
		shared, err := g.entryValue(ctx, "project/attributes/"+name, m)
		if err != nil {
			return nil, err
		}
		keys = append(keys, parseGCEKeys(shared, g.now)...)
	}
	return keys, nil
}

// parseGCEKeys returns the keys in lines USER:KEY. Other lines are ignored, as by Google's
// agents. A key with the comment google-ssh {"expireOn": TIME} is valid until that time; if
// the time is not readable, the key is not valid.
func parseGCEKeys(text string, now time.Time) []string {
	var keys []string
	for line := range strings.Lines(text) {
		user, key, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || user == "" || strings.ContainsAny(user, " \t#") {
			continue
		}
		if _, comment, ok := strings.Cut(key, " google-ssh "); ok && isExpired(comment, now) {
			continue
		}
		keys = append(keys, strings.TrimSpace(key))
	}
	return keys
}

func isExpired(comment string, now time.Time) bool {
	var parsed struct {
		ExpireOn string `json:"expireOn"`
	}
	if err := json.Unmarshal([]byte(comment), &parsed); err != nil {
		return true
	}
	for _, layout := range []string{"2006-01-02T15:04:05-0700", time.RFC3339} {
		if until, err := time.Parse(layout, parsed.ExpireOn); err == nil {
			return now.After(until)
		}
	}
	return true
}
