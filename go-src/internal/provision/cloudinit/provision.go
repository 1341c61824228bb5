package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"

	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/datasource"
	"coreos/internal/provision/ignition"
	"coreos/internal/provision/netconf"
)

// ErrUserData says that user-data has errors; what is right in it was applied.
var ErrUserData = errors.New("the user-data has errors")

// ErrNetwork says that the network of the metadata has errors; nothing of it was applied.
var ErrNetwork = errors.New("the network of the metadata has errors")

// Provision looks for a machine's config, and applies it.
type Provision struct {
	Sources []datasource.Source
	Applier *Applier
	// Workspace is the directory for scripts.
	Workspace string
	// Netconf is the form of the network in the metadata that is to be applied; none if
	// it is empty.
	Netconf netconf.Form
	// Problems is where problems of the user-data and the network are told, a line each.
	Problems io.Writer
}

// Validate tells the problems of the user-data and the network, and applies nothing.
func (p *Provision) Validate(ctx context.Context) error {
	data, err := p.fetch(ctx)
	if err != nil {
		return err
	}
	_, network := p.network(data)
	if cloudconfig.KindOf(data.UserData) == cloudconfig.Ignition {
		problems, err := ignition.Validate(data.UserData)
		for _, problem := range problems {
			fmt.Fprintf(p.Problems, "%s: %s\n", data.Source, problem)
		}
		return errors.Join(err, network)
	}
	_, err = p.parse(data.Source, data.UserData)
	return errors.Join(err, network)
}

// Kind tells what the user-data is.
func (p *Provision) Kind(ctx context.Context) (cloudconfig.Kind, error) {
	data, err := p.fetch(ctx)
	if err != nil {
		return cloudconfig.Empty, err
	}
	return cloudconfig.KindOf(data.UserData), nil
}

// Run applies the config. Everything that can be done is, whatever else fails.
func (p *Provision) Run(ctx context.Context) error {
	data, err := p.fetch(ctx)
	if err != nil {
		return err
	}
	slog.Info("configuration found", "source", data.Source, "bytes", len(data.UserData))
	text, unknown := Substitute(data.UserData, addresses(data.Metadata))
	for _, word := range unknown {
		fmt.Fprintf(p.Problems, "%s: warning: %s is not known on this machine, and becomes nothing\n", data.Source, word)
	}
	c, bad := p.parse(data.Source, text)
	if c == nil {
		c = &cloudconfig.Config{}
	}
	merge(c, data.Metadata)
	network, badNetwork := p.network(data)
	p.Applier.Network = network
	unlock, err := p.Applier.lock()
	if err != nil {
		return err
	}
	defer unlock()
	changes, err := p.Applier.Apply(ctx, c)
	slog.Info("configuration applied", "changes", len(changes))
	if cloudconfig.KindOf(text) == cloudconfig.Script {
		err = errors.Join(err, p.Applier.Script(ctx, text, p.Workspace))
	}
	if data.ReadyAt != "" {
		err = errors.Join(err, datasource.ReportReady(ctx, data.ReadyAt))
	}
	return errors.Join(bad, badNetwork, err)
}

func (p *Provision) fetch(ctx context.Context) (*datasource.Data, error) {
	return datasource.Select(ctx, datasource.Options{Report: func(source datasource.Source, err error) {
		slog.Info("no configuration here", "source", source.Name(), "reason", err)
	}}, p.Sources...)
}

// parse reads user-data that is a cloud-config, and tells its problems.
func (p *Provision) parse(source string, text []byte) (*cloudconfig.Config, error) {
	switch cloudconfig.KindOf(text) {
	case cloudconfig.Empty, cloudconfig.Script:
		return nil, nil
	case cloudconfig.Ignition:
		slog.Info("the user-data is Ignition's, which applies it at the first boot")
		return nil, nil
	case cloudconfig.Unknown:
		fmt.Fprintf(p.Problems, "%s: line 1: error: neither #cloud-config nor #! nor a config of Ignition: nothing of it is done\n", source)
		return nil, ErrUserData
	}
	c, problems, err := cloudconfig.Parse(text)
	if err != nil {
		fmt.Fprintf(p.Problems, "%s: error: %v: nothing of it is done\n", source, err)
		return nil, ErrUserData
	}
	for _, problem := range problems {
		fmt.Fprintf(p.Problems, "%s: %s\n", source, problem)
	}
	if slices.ContainsFunc(problems, func(p cloudconfig.Problem) bool { return !p.Warning }) {
		return c, ErrUserData
	}
	return c, nil
}

// network reads the network of the metadata if that is wanted, and tells its problems.
// With an error it is nil, and what was applied before stays.
func (p *Provision) network(data *datasource.Data) ([]netconf.File, error) {
	if p.Netconf == "" {
		return nil, nil
	}
	network := &data.Metadata.Network
	result, err := netconf.Convert(p.Netconf, network)
	for _, warning := range result.Warnings {
		fmt.Fprintf(p.Problems, "%s: network: warning: %s\n", data.Source, warning)
	}
	if err != nil {
		fmt.Fprintf(p.Problems, "%s: network: error: %v; nothing of it is done\n", data.Source, err)
		return nil, ErrNetwork
	}
	if result.Form == "" {
		slog.Info("the metadata has no network", "source", data.Source, "form", p.Netconf)
		if other, _ := netconf.Convert(netconf.Auto, network); other.Form != "" {
			fmt.Fprintf(p.Problems, "%s: network: warning: it is not of the form %s, but %s, and left out\n", data.Source, p.Netconf, other.Form)
		}
	}
	return result.Files, nil
}

// merge adds what the platform says; the config's own words count more.
func merge(c *cloudconfig.Config, m datasource.Metadata) {
	if c.Hostname == "" && cloudconfig.ValidHostname(m.Hostname) {
		c.Hostname = m.Hostname
	}
	for _, key := range m.SSHKeys {
		if !slices.Contains(c.SSHAuthorizedKeys, key) {
			c.SSHAuthorizedKeys = append(c.SSHAuthorizedKeys, key)
		}
	}
}

// addresses are the values of $private_ipv4 and its like. Where the platform says
// nothing, the environment counts, as upstream has it.
func addresses(m datasource.Metadata) map[string]string {
	values := map[string]string{}
	for name, of := range map[string]struct {
		address  netip.Addr
		variable string
	}{
		"private_ipv4": {m.PrivateIPv4, "COREOS_PRIVATE_IPV4"}, "public_ipv4": {m.PublicIPv4, "COREOS_PUBLIC_IPV4"},
		"private_ipv6": {m.PrivateIPv6, "COREOS_PRIVATE_IPV6"}, "public_ipv6": {m.PublicIPv6, "COREOS_PUBLIC_IPV6"},
	} {
		if values[name] = os.Getenv(of.variable); of.address.IsValid() {
			values[name] = of.address.String()
		}
	}
	return values
}
