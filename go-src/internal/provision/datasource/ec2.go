package datasource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	// tokenSeconds is the lifetime of a token, which is used for one Fetch.
	tokenSeconds = "300"
	// maxKeys is the limit of keys, which are requested one by one.
	maxKeys = 64
)

// EC2 is a metadata server with the interface of Amazon EC2 at a URL, such as
// http://169.254.169.254/: its version 2009-04-04, or else the latest. Many clouds have
// one. Requests use IMDSv2, which needs a token. They have no token only if the server does
// not support tokens, which it shows by 403, 404 or 405. See
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html.
func EC2(address string) Source {
	s := newServer(address)
	return source{"ec2-metadata at " + s.root, func(ctx context.Context) (*Data, error) {
		return fetchEC2(ctx, s)
	}}
}

func fetchEC2(ctx context.Context, s server) (*Data, error) {
	s, err := withToken(ctx, s)
	if err != nil {
		return nil, err
	}
	version := "2009-04-04/"
	_, err = s.get(ctx, version+"meta-data/", maxValue)
	if errors.Is(err, fs.ErrNotExist) {
		version = "latest/"
		_, err = s.required(ctx, version+"meta-data/", maxValue)
	}
	if err != nil {
		return nil, err
	}
	data := &Data{}
	if data.UserData, err = s.optional(ctx, version+"user-data", MaxUserData); err != nil {
		return nil, err
	}
	data.Metadata, err = ec2Metadata(ctx, s, version+"meta-data/")
	return data, err
}

// withToken returns a server whose requests have a token, if the server issues tokens.
func withToken(ctx context.Context, s server) (server, error) {
	asking := s
	asking.header = http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {tokenSeconds}}
	token, _, err := asking.do(ctx, http.MethodPut, "latest/api/token", nil, maxValue)
	var status *statusError
	switch {
	case err == nil:
	case errors.As(err, &status) && slices.Contains([]int{http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed}, status.code):
		return s, nil
	default:
		return s, err
	}
	if strings.ContainsFunc(string(token), func(r rune) bool { return r <= ' ' || r > '~' }) || len(token) == 0 {
		return s, fmt.Errorf("%w: the token is not valid", ErrInvalid)
	}
	s.header = http.Header{"X-Aws-Ec2-Metadata-Token": {string(token)}}
	return s, nil
}

func ec2Metadata(ctx context.Context, s server, path string) (m Metadata, err error) {
	hostname, err := s.entry(ctx, path+"hostname", maxValue, &m)
	if err != nil {
		return m, err
	}
	m.Hostname = string(hostname)
	for _, address := range []struct {
		path string
		into *netip.Addr
	}{
		{path + "local-ipv4", &m.PrivateIPv4},
		{path + "public-ipv4", &m.PublicIPv4},
		// Older versions do not have IPv6 addresses.
		{"latest/meta-data/ipv6", &m.PublicIPv6},
	} {
		if *address.into, err = s.address(ctx, address.path, &m); err != nil {
			return m, err
		}
	}
	m.SSHKeys, err = ec2Keys(ctx, s, path+"public-keys/", &m)
	return m, err
}

func ec2Keys(ctx context.Context, s server, path string, m *Metadata) ([]string, error) {
	index, err := s.entry(ctx, path, maxValue, m)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, number := range m.keyIndex(string(index)) {
		// The key may exist only in other formats.
		key, err := s.entry(ctx, path+number+"/openssh-key", maxValue, m)
		if err != nil {
			return nil, err
		}
		keys = append(keys, string(key))
	}
	return keys, nil
}

// keyIndex returns the numbers of the keys in an index of lines NUMBER=NAME.
func (m *Metadata) keyIndex(index string) []string {
	var numbers []string
	for line := range strings.Lines(index) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		number, _, ok := strings.Cut(line, "=")
		if _, err := strconv.ParseUint(number, 10, 32); !ok || err != nil {
			m.leaveOut(fmt.Errorf("public-keys: %.80q is not NUMBER=NAME", line))
			continue
		}
		if len(numbers) == maxKeys {
			m.leaveOut(fmt.Errorf("public-keys: more than %d", maxKeys))
			break
		}
		numbers = append(numbers, number)
	}
	return numbers
}

// parseEC2Document parses the single document of a config drive.
func parseEC2Document(text []byte) (Metadata, error) {
	var parsed struct {
		Instance   looseText `json:"instance-id"`
		Hostname   string    `json:"hostname"`
		LocalIPv4  looseText `json:"local-ipv4"`
		PublicIPv4 looseText `json:"public-ipv4"`
		PublicKeys map[string]struct {
			Key string `json:"openssh-key"`
		} `json:"public-keys"`
	}
	var m Metadata
	if err := m.document(text, &parsed); err != nil {
		return m, err
	}
	m.Instance, m.Hostname = string(parsed.Instance), parsed.Hostname
	m.PrivateIPv4 = m.address("local-ipv4", string(parsed.LocalIPv4))
	m.PublicIPv4 = m.address("public-ipv4", string(parsed.PublicIPv4))
	for _, number := range slices.Sorted(maps.Keys(parsed.PublicKeys)) {
		m.SSHKeys = append(m.SSHKeys, parsed.PublicKeys[number].Key)
	}
	return m, nil
}
