package cloudinit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coreos/internal/host/treetest"
	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/datasource"
	"coreos/internal/provision/netconf"
)

const (
	restart = "restart systemd-networkd.service"
	ours    = "run/systemd/network/zz-cloudinit-"
)

func TestNetwork(t *testing.T) {
	m := newMachine(t)
	web := &cloudconfig.Config{CoreOS: cloudconfig.CoreOS{Units: []cloudconfig.Unit{{Name: "web.service", Content: "[Service]\n", Command: "start"}}}}
	a, b := netconf.File{Name: netconf.Prefix + "a.network", Content: "A\n"}, netconf.File{Name: netconf.Prefix + "b.network", Content: "B\n"}
	m.put("run/systemd/network/10-other.network", "other\n")
	for i, step := range []struct {
		network []netconf.File
		want    []string
	}{
		{nil, []string{"reload", "start web.service"}},
		{[]netconf.File{a, b}, []string{"reload", restart, "start web.service"}},
		{[]netconf.File{a, b}, []string{"start web.service"}},
		{[]netconf.File{a}, []string{"reload", restart, "start web.service"}},
		// An error: the file stays as it was.
		{nil, []string{"start web.service"}},
		{[]netconf.File{}, []string{"reload", restart, "start web.service"}},
		{[]netconf.File{}, []string{"start web.service"}},
	} {
		m.Network = step.network
		told, err := m.apply(web)
		if err != nil || !slices.Equal(told, step.want) {
			t.Errorf("step %d: told %q, error %v, want %q", i, told, err, step.want)
		}
		for _, f := range step.network {
			m.want("run/systemd/network/"+f.Name, f.Content)
		}
	}
	left, err := filepath.Glob(filepath.Join(m.dir, "run/systemd/network/*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left is %q, %v", left, err)
	}
}

// A user's own unit of the same name counts, and is no leftover.
func TestNetworkOfUser(t *testing.T) {
	m := newMachine(t)
	name := netconf.Prefix + "a.network"
	m.Network = []netconf.File{{Name: name, Content: "metadata\n"}}
	c := &cloudconfig.Config{CoreOS: cloudconfig.CoreOS{Units: []cloudconfig.Unit{{Name: name, Content: "user\n", Runtime: true}}}}
	for range 2 {
		if _, err := m.apply(c); err != nil {
			t.Fatal(err)
		}
		m.want("run/systemd/network/"+name, "user\n")
	}
	if len(m.told) > 0 {
		t.Errorf("told again: %q", m.told)
	}
}

func TestNetworkFails(t *testing.T) {
	m := newMachine(t)
	m.must(os.MkdirAll(filepath.Join(m.dir, ours+"a.network", "x"), 0o755))
	m.Network = []netconf.File{}
	if _, err := m.apply(&cloudconfig.Config{}); err == nil {
		t.Error("no error for a directory in the way")
	}
	m = newMachine(t)
	m.put("run/systemd/network", "")
	m.Network = []netconf.File{}
	if _, err := m.apply(&cloudconfig.Config{WriteFiles: []cloudconfig.File{{Path: "/etc/x", Mode: 0o644}}}); err == nil {
		t.Error("no error for a file in the way")
	}
	m.want("etc/x", "")
}

// TestBadNetwork has metadata whose network cannot be read. It is named, and the rest is applied.
func TestBadNetwork(t *testing.T) {
	const problem = "interfaces.public[0]: \"unknown\" is not a MAC address"
	for form, want := range map[netconf.Form]string{
		"":                   "test: network: warning: " + problem + "; nobody asked for the network of the metadata\n",
		netconf.DigitalOcean: "test: network: error: " + problem + "; the network is ignored\n",
		netconf.Auto:         "test: network: error: " + problem + "; the network is ignored\n",
	} {
		m := newMachine(t)
		m.put(ours+"eth0.network", "of before\n")
		data := withUserData("#cloud-config\nwrite_files: [{path: /etc/x, content: done}]\n")
		data.Metadata = datasource.Metadata{Hostname: "one", SSHKeys: []string{goodKey}, Network: datasource.Network{Problem: errors.New(problem)}}
		var problems bytes.Buffer
		p := Provision{Sources: []datasource.Source{data}, Applier: m.Applier, Netconf: form, Problems: &problems}
		if err := p.Run(t.Context()); errors.Is(err, ErrNetwork) != (form != "") || problems.String() != want {
			t.Errorf("%q: %s%v", form, problems.String(), err)
		}
		m.want("etc/x", "done")
		m.want("etc/hostname", "one\n")
		m.want("home/core/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+"\n")
		m.want(ours+"eth0.network", "of before\n")
	}
}

// drive makes a config drive of a cloud-config and an interfaces(5) file.
func drive(t *testing.T, interfaces string) datasource.Source {
	return datasource.ConfigDrive(treetest.Dir(t, map[string]string{
		"openstack/latest/user_data":      "#cloud-config\nwrite_files:\n  - path: /etc/x\n    content: done\n",
		"openstack/latest/meta_data.json": `{"network_config": {"content_path": "/content/0000"}}`,
		"openstack/content/0000":          interfaces,
	}))
}

func TestProvisionNetwork(t *testing.T) {
	const good = "iface eth0 inet dhcp\n"
	for name, test := range map[string]struct {
		form       netconf.Form
		interfaces string
		problem    string
		err        error
		written    bool
	}{
		"not wanted":   {"", good, "", nil, false},
		"as it is":     {netconf.Debian, good, "", nil, true},
		"auto":         {netconf.Auto, good, "", nil, true},
		"with warning": {netconf.Auto, good + " colour blue\n", `network: warning: line 2: option "colour" is not known`, nil, true},
		"another form": {netconf.Packet, good, "network: warning: it is not of the form packet, but debian", nil, false},
		"none":         {netconf.Packet, "", "", nil, false},
		"wrong":        {netconf.Debian, "iface eth0\n", "network: error: line 1: \"iface eth0\": want iface NAME FAMILY METHOD; the network is ignored\n", ErrNetwork, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			var problems bytes.Buffer
			p := Provision{Sources: []datasource.Source{drive(t, test.interfaces)}, Applier: m.Applier, Netconf: test.form, Problems: &problems}
			validated := p.Validate(context.Background())
			said := problems.String()
			problems.Reset()
			if err := p.Run(context.Background()); !errors.Is(err, test.err) || !errors.Is(validated, test.err) {
				t.Errorf("error %v, validated %v, want %v", err, validated, test.err)
			}
			if said != problems.String() || !strings.Contains(said, test.problem) || test.problem == "" && said != "" {
				t.Errorf("problems %q, validated %q", problems.String(), said)
			}
			m.want("etc/x", "done")
			if _, err := os.Stat(filepath.Join(m.dir, ours+"eth0.network")); (err == nil) != test.written || slices.Contains(m.told, restart) != test.written {
				t.Errorf("told %q, file: %v", m.told, err)
			}
		})
	}
}
