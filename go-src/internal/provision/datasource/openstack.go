package datasource

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// OpenStack is the metadata service of OpenStack at a URL, such as http://169.254.169.254/:
// user_data, meta_data.json and network_data.json in openstack/latest, and the addresses in
// the part with EC2's interface. See
// https://docs.openstack.org/nova/latest/user/metadata.html.
func OpenStack(address string) Source {
	s := newServer(address)
	return source{"openstack-metadata at " + s.root, func(ctx context.Context) (*Data, error) {
		return fetchOpenStack(ctx, s)
	}}
}

func fetchOpenStack(ctx context.Context, s server) (*Data, error) {
	text, err := s.required(ctx, "openstack/latest/meta_data.json", maxDocument)
	if err != nil {
		return nil, err
	}
	meta, err := parseOpenStack(text)
	if err != nil {
		return nil, fmt.Errorf("meta_data.json: %w", err)
	}
	data := &Data{Metadata: meta.Metadata}
	if data.UserData, err = s.optional(ctx, "openstack/latest/user_data", MaxUserData); err != nil {
		return nil, err
	}
	if text, err = s.optional(ctx, "openstack/latest/network_data.json", maxDocument); err != nil {
		return nil, err
	}
	if data.Metadata.Network.OpenStack, err = networkData(text); err != nil {
		return nil, err
	}
	if data.Metadata.PrivateIPv4, err = s.address(ctx, "latest/meta-data/local-ipv4"); err != nil {
		return nil, err
	}
	data.Metadata.PublicIPv4, err = s.address(ctx, "latest/meta-data/public-ipv4")
	return data, err
}

// address returns the address at a path, the zero address if there is none.
func (s server) address(ctx context.Context, path string) (netip.Addr, error) {
	text, err := s.optional(ctx, path, maxValue)
	if err != nil {
		return netip.Addr{}, err
	}
	return parseAddress(path, string(text))
}

// openstackMeta is a meta_data.json.
type openstackMeta struct {
	Metadata
	// networkPath is the path of the interfaces(5) file on the config drive.
	networkPath string
}

func parseOpenStack(text []byte) (openstackMeta, error) {
	var parsed struct {
		Hostname   string            `json:"hostname"`
		PublicKeys map[string]string `json:"public_keys"`
		Network    struct {
			ContentPath string `json:"content_path"`
		} `json:"network_config"`
	}
	if err := document(text, &parsed); err != nil {
		return openstackMeta{}, err
	}
	meta := openstackMeta{networkPath: parsed.Network.ContentPath}
	meta.Hostname = parsed.Hostname
	// JSON objects have no order, so the keys are sorted by their names.
	for _, name := range slices.Sorted(maps.Keys(parsed.PublicKeys)) {
		meta.SSHKeys = append(meta.SSHKeys, parsed.PublicKeys[name])
	}
	return meta, nil
}

// networkData returns the network_data.json if it is valid JSON.
func networkData(text []byte) ([]byte, error) {
	if len(text) != 0 && !json.Valid(text) {
		return nil, fmt.Errorf("%w: network_data.json is not JSON", ErrInvalid)
	}
	return text, nil
}
