package certs

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"coreos/internal/etcd/envfile"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/unit"
)

// OnMachine is the directory of the files on a machine. The keys belong to the user etcd.
const OnMachine = "/etc/etcd/tls"

// peerURL returns the URL at which other members reach the machine.
func (m Machine) peerURL() string { return "https://" + net.JoinHostPort(m.Addresses[0], "2380") }

// listen returns the first IP address, since etcd does not listen on names.
func (m Machine) listen() (netip.Addr, error) {
	for _, address := range m.Addresses {
		if ip, err := netip.ParseAddr(address); err == nil {
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("machine %s has only names: give also the IP address on which its etcd listens", m.Name)
}

// settings returns the environment variables of a machine in a cluster of the machines of
// the request.
func (r *Request) settings(m Machine) ([][2]string, error) {
	var initial []string
	for _, other := range r.Machines {
		initial = append(initial, other.Name+"="+other.peerURL())
	}
	address, err := m.listen()
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return OnMachine + "/" + name }
	values := [][2]string{
		{"ETCD_NAME", m.Name},
		{"ETCD_INITIAL_CLUSTER", strings.Join(initial, ",")},
		{"ETCD_INITIAL_CLUSTER_STATE", "new"},
		{"ETCD_INITIAL_ADVERTISE_PEER_URLS", m.peerURL()},
	}
	values = append(values, member.Listen(m.peerURL(), address, "https")...)
	return append(values, [][2]string{
		{"ETCD_TRUSTED_CA_FILE", file("ca.crt")},
		{"ETCD_CERT_FILE", file("server.crt")},
		{"ETCD_KEY_FILE", file("server.key")},
		{"ETCD_CLIENT_CERT_AUTH", "true"},
		// etcd's gateway uses this certificate when it connects to etcd, since the server's
		// certificate is not for clients.
		{"ETCD_CLIENT_CERT_FILE", file("peer.crt")},
		{"ETCD_CLIENT_KEY_FILE", file("peer.key")},
		{"ETCD_PEER_TRUSTED_CA_FILE", file("ca.crt")},
		{"ETCD_PEER_CERT_FILE", file("peer.crt")},
		{"ETCD_PEER_KEY_FILE", file("peer.key")},
		{"ETCD_PEER_CLIENT_CERT_AUTH", "true"},
	}...), nil
}

// writeSettings writes etcd.conf.env, and a cloud-config.yml that installs it and the
// certificates on the machine.
func (r *Request) writeSettings(m Machine) error {
	values, err := r.settings(m)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.Dir, m.Name)
	env := envfile.New(filepath.Join(dir, "etcd.conf.env"))
	for _, v := range values {
		if err := env.Set(v[0], v[1]); err != nil {
			return fmt.Errorf("machine %s: %w", m.Name, err)
		}
	}
	if err := env.Write(); err != nil {
		return err
	}
	text, err := cloudConfig(dir, env)
	if err != nil {
		return err
	}
	// It contains the keys.
	return write(filepath.Join(dir, "cloud-config.yml"), text, 0o600)
}

// config has the fields of a cloud-config that are written.
type config struct {
	Files  []configFile `yaml:"write_files"`
	CoreOS struct {
		Units []configUnit `yaml:"units"`
	} `yaml:"coreos"`
}

type configFile struct {
	Path        string `yaml:"path"`
	Owner       string `yaml:"owner"`
	Permissions string `yaml:"permissions"`
	Content     string `yaml:"content"`
}

type configUnit struct {
	Name    string `yaml:"name"`
	Command string `yaml:"command"`
}

func cloudConfig(dir string, env *envfile.File) ([]byte, error) {
	var c config
	for _, name := range []string{"ca.crt", "server.crt", "server.key", "peer.crt", "peer.key"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		mode := "0644"
		if strings.HasSuffix(name, ".key") {
			mode = "0600"
		}
		c.Files = append(c.Files, configFile{OnMachine + "/" + name, "etcd:etcd", mode, string(text)})
	}
	c.Files = append(c.Files, configFile{envfile.Path, "root:root", "0644", env.String()})
	c.CoreOS.Units = []configUnit{{unit.Name, "start"}}
	text := bytes.NewBufferString("#cloud-config\n\n")
	encoder := yaml.NewEncoder(text)
	encoder.SetIndent(2)
	err := encoder.Encode(c)
	return text.Bytes(), err
}
