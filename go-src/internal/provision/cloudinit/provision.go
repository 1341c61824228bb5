package cloudinit

import (
	"bytes"
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
	"coreos/internal/provision/sshkey"
)

// ErrUserData says that the user-data has errors. The valid parts were applied.
var ErrUserData = errors.New("the user-data has errors")

// ErrNetwork says that the network in the metadata has errors. Nothing of it was applied.
var ErrNetwork = errors.New("the network of the metadata has errors")

// ErrMetadata says that the metadata has entries that are not valid. The others were applied.
var ErrMetadata = errors.New("the metadata of the platform has errors")

// Provision finds and applies the configuration of the machine.
type Provision struct {
	Sources []datasource.Source
	Applier *Applier
	// Workspace is the directory for scripts.
	Workspace string
	// Netconf is the form of the network in the metadata to apply, empty for none.
	Netconf netconf.Form
	// Machine is this machine, for Validate. Run looks by itself.
	Machine *cloudconfig.Machine
	// Problems takes the problems of the user-data and of the network, one in a line.
	Problems io.Writer
}

// Validate reports the problems of the user-data and of the metadata, and applies nothing.
func (p *Provision) Validate(ctx context.Context) error {
	data, err := p.fetch(ctx)
	if err != nil {
		return err
	}
	_, bad := p.read(data, p.Machine)
	_, network := p.network(data)
	return errors.Join(bad, network, p.ignition(data))
}

// ignition reports the problems of user-data that is an Ignition config.
func (p *Provision) ignition(data *datasource.Data) error {
	if cloudconfig.KindOf(data.UserData) != cloudconfig.Ignition {
		return nil
	}
	problems, err := ignition.Validate(data.UserData)
	for _, problem := range problems {
		fmt.Fprintf(p.Problems, "%s: %s\n", data.Source, problem)
	}
	return err
}

// content is the configuration of the machine in its final form.
type content struct {
	config      *cloudconfig.Config
	script      []byte // nil if the user-data is no script
	environment cloudconfig.Settings
}

// read reads the user-data and the metadata, and reports their problems.
func (p *Provision) read(data *datasource.Data, on *cloudconfig.Machine) (content, error) {
	values := addresses(data.Metadata)
	text, unknown := cloudconfig.Substitute(data.UserData, values)
	for _, word := range unknown {
		fmt.Fprintf(p.Problems, "%s: warning: %s is not known on this machine and is replaced by nothing\n", data.Source, word)
	}
	c, bad := p.parse(data.Source, text, on)
	if data.Undecoded != nil {
		fmt.Fprintf(p.Problems, "%s: error: user-data: %v; it is ignored\n", data.Source, data.Undecoded)
		bad = ErrUserData
	}
	if c == nil {
		c = &cloudconfig.Config{}
	}
	got := content{config: c, environment: environmentOf(values)}
	if cloudconfig.KindOf(text) == cloudconfig.Script {
		if got.script = text; cloudconfig.HasWindowsLines(text) {
			got.script = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
			fmt.Fprintf(p.Problems, "%s: line 1: warning: the script has line ends of Windows (CRLF); they are converted\n", data.Source)
		}
	}
	return got, errors.Join(bad, p.merge(c, data))
}

// Kind returns the kind of the user-data.
func (p *Provision) Kind(ctx context.Context) (cloudconfig.Kind, error) {
	data, err := p.fetch(ctx)
	if err != nil {
		return cloudconfig.Empty, err
	}
	if data.Undecoded != nil {
		return cloudconfig.Unknown, nil
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
	if data.Accept != nil {
		if err := data.Accept(); err != nil {
			return fmt.Errorf("%s: %w", data.Source, err)
		}
	}
	got, bad := p.read(data, nil)
	network, badNetwork := p.network(data)
	p.Applier.Network, p.Applier.Environment = network, got.environment
	unlock, err := p.Applier.lock()
	if err != nil {
		return err
	}
	defer unlock()
	changes, err := p.Applier.Apply(ctx, got.config)
	slog.Info("configuration applied", "changes", len(changes))
	if got.script != nil {
		err = errors.Join(err, p.Applier.Script(ctx, got.script, p.Workspace))
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
func (p *Provision) parse(source string, text []byte, on *cloudconfig.Machine) (*cloudconfig.Config, error) {
	switch cloudconfig.KindOf(text) {
	case cloudconfig.Empty, cloudconfig.Script:
		return nil, nil
	case cloudconfig.Ignition:
		slog.Info("the user-data is an Ignition config, which Ignition applies at the first boot")
		return nil, nil
	case cloudconfig.Unknown:
		fmt.Fprintf(p.Problems, "%s: error: the user-data is no #cloud-config, no script (#!) and no Ignition config, and is ignored: %s\n", source, cloudconfig.WhyUnknown(text))
		return nil, ErrUserData
	}
	c, problems, err := cloudconfig.ParseFor(text, on)
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
	network := &data.Metadata.Network
	if p.Netconf == "" {
		if network.Problem != nil {
			fmt.Fprintf(p.Problems, "%s: network: warning: %v; nobody asked for the network of the metadata\n", data.Source, network.Problem)
		}
		return nil, nil
	}
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

// merge adds the metadata to the config, which has priority. It reports the entries of the
// metadata that cannot be used.
func (p *Provision) merge(c *cloudconfig.Config, data *datasource.Data) error {
	m := data.Metadata
	bad := m.Problems
	switch {
	case c.Hostname != "" || m.Hostname == "":
	case cloudconfig.ValidHostname(m.Hostname):
		c.Hostname = m.Hostname
	default:
		bad = append(bad, fmt.Sprintf("hostname: %.80q is not a valid hostname", m.Hostname))
	}
	for _, key := range m.SSHKeys {
		warning, err := sshkey.Check(key)
		switch {
		case err != nil:
			bad = append(bad, "SSH keys: "+err.Error())
			continue
		case warning != "":
			fmt.Fprintf(p.Problems, "%s: metadata: warning: SSH keys: %s\n", data.Source, warning)
		}
		if !slices.Contains(c.SSHAuthorizedKeys, key) {
			c.SSHAuthorizedKeys = append(c.SSHAuthorizedKeys, key)
		}
	}
	for _, problem := range bad {
		fmt.Fprintf(p.Problems, "%s: metadata: error: %s; left out\n", data.Source, problem)
	}
	if len(bad) > 0 {
		return ErrMetadata
	}
	return nil
}

// variables are the variables of the environment with the values of $private_ipv4 and the other
// words, in the order of /etc/environment.
var variables = []struct {
	word, name string
	of         func(datasource.Metadata) netip.Addr
}{
	{"private_ipv4", "COREOS_PRIVATE_IPV4", func(m datasource.Metadata) netip.Addr { return m.PrivateIPv4 }},
	{"public_ipv4", "COREOS_PUBLIC_IPV4", func(m datasource.Metadata) netip.Addr { return m.PublicIPv4 }},
	{"private_ipv6", "COREOS_PRIVATE_IPV6", func(m datasource.Metadata) netip.Addr { return m.PrivateIPv6 }},
	{"public_ipv6", "COREOS_PUBLIC_IPV6", func(m datasource.Metadata) netip.Addr { return m.PublicIPv6 }},
}

// addresses returns the values of $private_ipv4 and the other words. For addresses that the
// platform does not give, the environment is used, as upstream does.
func addresses(m datasource.Metadata) map[string]string {
	values := map[string]string{}
	for _, v := range variables {
		if values[v.word] = os.Getenv(v.name); v.of(m).IsValid() {
			values[v.word] = v.of(m).String()
		}
	}
	return values
}

// environmentOf returns the lines of /etc/environment for known addresses.
func environmentOf(values map[string]string) cloudconfig.Settings {
	var lines cloudconfig.Settings
	for _, v := range variables {
		// A value of the caller's environment may be anything.
		if address, err := netip.ParseAddr(values[v.word]); err == nil && address.Zone() == "" {
			lines = append(lines, cloudconfig.Setting{Name: v.name, Value: address.String()})
		}
	}
	return lines
}
