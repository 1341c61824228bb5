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

// ErrUserData says that the user-data has errors. The valid parts were applied.
var ErrUserData = errors.New("the user-data has errors")

// ErrNetwork says that the network in the metadata has errors. Nothing of it was applied.
var ErrNetwork = errors.New("the network of the metadata has errors")

// Provision finds and applies the configuration of the machine.
type Provision struct {
	Sources []datasource.Source
	Applier *Applier
	// Workspace is the directory for scripts.
	Workspace string
	// Netconf is the form of the network in the metadata to apply, empty for none.
	Netconf netconf.Form
	// Problems takes the problems of the user-data and of the network, one in a line.
	Problems io.Writer
}

// Validate reports the problems of the user-data and of the network, and applies nothing.
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

// Kind returns the kind of the user-data.
func (p *Provision) Kind(ctx context.Context) (cloudconfig.Kind, error) {
	data, err := p.fetch(ctx)
	if err != nil {
		return cloudconfig.Empty, err
	}
	return cloudconfig.KindOf(data.UserData), nil
}

// Run applies the configuration. If one part fails, the other parts are applied.
func (p *Provision) Run(ctx context.Context) error {
	data, err := p.fetch(ctx)
	if err != nil {
		return err
	}
	slog.Info("configuration found", "source", data.Source, "bytes", len(data.UserData))
	text, unknown := Substitute(data.UserData, addresses(data.Metadata))
	for _, word := range unknown {
		fmt.Fprintf(p.Problems, "%s: warning: %s is not known on this machine and is replaced by nothing\n", data.Source, word)
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

// parse parses user-data that is a cloud-config, and reports its problems.
func (p *Provision) parse(source string, text []byte) (*cloudconfig.Config, error) {
	switch cloudconfig.KindOf(text) {
	case cloudconfig.Empty, cloudconfig.Script:
		return nil, nil
	case cloudconfig.Ignition:
		slog.Info("the user-data is an Ignition config, which Ignition applies at the first boot")
		return nil, nil
	case cloudconfig.Unknown:
		fmt.Fprintf(p.Problems, "%s: line 1: error: the user-data is no #cloud-config, no script (#!) and no Ignition config: it is ignored\n", source)
		return nil, ErrUserData
	}
	c, problems, err := cloudconfig.Parse(text)
	if err != nil {
		fmt.Fprintf(p.Problems, "%s: error: %v: the user-data is ignored\n", source, err)
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

// network reads the network in the metadata, if it is wanted, and reports its problems. If
// there is an error it returns nil, and the network that was applied before stays.
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
		fmt.Fprintf(p.Problems, "%s: network: error: %v; the network is ignored\n", data.Source, err)
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

// merge adds the metadata to the config, which has priority.
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

// addresses returns the values of $private_ipv4 and the other variables. For addresses that
// the platform does not give, the environment is used, as upstream does.
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
