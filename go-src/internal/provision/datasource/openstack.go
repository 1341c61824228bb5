package datasource

import (
	"context"
	"fmt"
	"maps"
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
	m := &data.Metadata
	if m.Network.OpenStack, err = s.entry(ctx, "openstack/latest/network_data.json", maxDocument, m); err != nil {
		return nil, err
	}
	if m.PrivateIPv4, err = s.address(ctx, "latest/meta-data/local-ipv4", m); err != nil {
		return nil, err
	}
	m.PublicIPv4, err = s.address(ctx, "latest/meta-data/public-ipv4", m)
	return data, err
}

// openstackMeta is a meta_data.json.
type openstackMeta struct {
	Metadata
	// networkPath is the path of the interfaces(5) file on the config drive.
	networkPath string
}

func parseOpenStack(text []byte) (openstackMeta, error) {
	var parsed struct {
		UUID       string            `json:"uuid"`
		Hostname   string            `json:"hostname"`
		PublicKeys map[string]string `json:"public_keys"`
		Network    struct {
			ContentPath string `json:"content_path"`
		} `json:"network_config"`
	}
	var meta openstackMeta
	if err := meta.document(text, &parsed); err != nil {
		return meta, err
	}
	meta.networkPath = parsed.Network.ContentPath
	meta.Instance, meta.Hostname = parsed.UUID, parsed.Hostname
	// JSON objects have no order, so the keys are sorted by their names.
	for _, name := range slices.Sorted(maps.Keys(parsed.PublicKeys)) {
		meta.SSHKeys = append(meta.SSHKeys, parsed.PublicKeys[name])
	}
	return meta, nil
}
