package cloudinit

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/datasource"
)

// answer is a source with an answer.
type answer datasource.Data

func (a answer) Name() string { return "test" }
func (a answer) Fetch(context.Context) (*datasource.Data, error) {
	a.Source = "test"
	return (*datasource.Data)(&a), nil
}

// provision applies what a platform has, and returns the problems. What Validate says has to be
// the same.
func (m *machine) provision(a answer) (problems string, err error) {
	m.t.Helper()
	m.told = nil
	var told, validated bytes.Buffer
	p := Provision{Sources: []datasource.Source{a}, Applier: m.Applier, Workspace: "/var/lib/coreos-cloudinit", Problems: &validated}
	valid := p.Validate(m.t.Context())
	p.Problems = &told
	err = p.Run(m.t.Context())
	if validated.String() != told.String() || (valid == nil) != (err == nil) {
		m.t.Errorf("Validate says %q, error %v\nRun says %q, error %v", validated.String(), valid, told.String(), err)
	}
	return told.String(), err
}

func withUserData(text string) answer { return answer{UserData: []byte(text)} }

func TestEnvironment(t *testing.T) {
	m := newMachine(t)
	m.put("etc/environment", "LANG=C.UTF-8\nCOREOS_PUBLIC_IPV4=192.0.2.99\n")
	a := withUserData("#cloud-config\ncoreos: {units: [{name: a.service, command: start}]}\n")
	a.Metadata = datasource.Metadata{
		PrivateIPv4: netip.MustParseAddr("10.0.0.7"), PublicIPv4: netip.MustParseAddr("192.0.2.7"),
		PrivateIPv6: netip.MustParseAddr("fd00::7"), PublicIPv6: netip.MustParseAddr("2001:db8::7"),
	}
	const want = "LANG=C.UTF-8\nCOREOS_PRIVATE_IPV4=10.0.0.7\nCOREOS_PUBLIC_IPV4=192.0.2.7\nCOREOS_PRIVATE_IPV6=fd00::7\nCOREOS_PUBLIC_IPV6=2001:db8::7\n"
	for range 2 {
		if problems, err := m.provision(a); err != nil || problems != "" {
			t.Errorf("%s%v", problems, err)
		}
		m.want("etc/environment", want)
	}
	// Another address of the same machine; nothing is known of the others.
	a.Metadata = datasource.Metadata{PublicIPv4: netip.MustParseAddr("192.0.2.8")}
	if _, err := m.provision(a); err != nil {
		t.Error(err)
	}
	m.want("etc/environment", "LANG=C.UTF-8\nCOREOS_PRIVATE_IPV4=10.0.0.7\nCOREOS_PRIVATE_IPV6=fd00::7\nCOREOS_PUBLIC_IPV6=2001:db8::7\nCOREOS_PUBLIC_IPV4=192.0.2.8\n")
}

// TestEnvironmentOfConfig has a config that writes /etc/environment, too: each boot has the same
// result.
func TestEnvironmentOfConfig(t *testing.T) {
	m := newMachine(t)
	a := withUserData("#cloud-config\nwrite_files: [{path: /etc/environment, content: \"A=b\\nCOREOS_PRIVATE_IPV4=x\\n\"}]\n")
	a.Metadata.PrivateIPv4 = netip.MustParseAddr("10.0.0.7")
	for range 2 {
		if _, err := m.provision(a); err != nil {
			t.Error(err)
		}
		m.want("etc/environment", "A=b\nCOREOS_PRIVATE_IPV4=10.0.0.7\n")
	}
	if len(m.Applier.changes) > 0 {
		t.Errorf("applied again: %q", m.Applier.changes)
	}
}

// TestEnvironmentOfCaller takes addresses of COREOS_PRIVATE_IPV4 and so on, as upstream does.
func TestEnvironmentOfCaller(t *testing.T) {
	m := newMachine(t)
	t.Setenv("COREOS_PRIVATE_IPV4", "10.0.0.7")
	t.Setenv("COREOS_PUBLIC_IPV4", "nonsense\nLD_PRELOAD=/x")
	t.Setenv("COREOS_PUBLIC_IPV6", "fe80::1%x\nLD_PRELOAD=/x")
	if _, err := m.provision(withUserData("#cloud-config\n")); err != nil {
		t.Error(err)
	}
	m.want("etc/environment", "COREOS_PRIVATE_IPV4=10.0.0.7\n")
}

// TestBadMetadata has one bad entry; the others and the user-data are applied.
func TestBadMetadata(t *testing.T) {
	m := newMachine(t)
	a := withUserData("#cloud-config\nwrite_files: [{path: /etc/x, content: done}]\n")
	a.Metadata = datasource.Metadata{
		Hostname: "a..b", SSHKeys: []string{"<html>", goodKey, "ssh-rsa AAAA cut"}, Problems: []string{"interfaces.public[0].mac: x"},
	}
	problems, err := m.provision(a)
	if !errors.Is(err, ErrMetadata) {
		t.Errorf("error %v", err)
	}
	want := "test: metadata: warning: SSH keys: \"ssh-rsa AAAA cut\": sshd does not accept this key: it is cut off or damaged\n" +
		"test: metadata: error: interfaces.public[0].mac: x; left out\n" +
		"test: metadata: error: hostname: \"a..b\" is not a valid hostname; left out\n" +
		"test: metadata: error: SSH keys: \"<html>\": want a line of authorized_keys, as in ssh-ed25519 AAAA… name; left out\n"
	if problems != want {
		t.Errorf("problems:\n%swant:\n%s", problems, want)
	}
	m.want("etc/x", "done")
	m.want("home/core/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+"\nssh-rsa AAAA cut\n")
}

// TestLongHostname has the name of a machine of Google, with its domain.
func TestLongHostname(t *testing.T) {
	const long = "gke-cluster-1-default-pool-0a1b2c3d-xyz9.europe-west1-b.c.a-project-of-ours.internal"
	m := newMachine(t)
	a := withUserData("#cloud-config\nmanage_etc_hosts: localhost\n")
	a.Metadata.Hostname = long
	if problems, err := m.provision(a); err != nil || problems != "" {
		t.Errorf("%s%v", problems, err)
	}
	m.want("etc/hostname", "gke-cluster-1-default-pool-0a1b2c3d-xyz9\n")
	if len(m.told) == 0 || m.told[0] != "hostname gke-cluster-1-default-pool-0a1b2c3d-xyz9" {
		t.Errorf("told %q", m.told)
	}
	m.want("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 "+long+" gke-cluster-1-default-pool-0a1b2c3d-xyz9\n")
}

// TestWords has $private_ipv4 in a value that is checked: provision compares both judgements.
func TestWords(t *testing.T) {
	m := newMachine(t)
	a := withUserData("#cloud-config\nhostname: node-$private_ipv4\n")
	a.Metadata.PrivateIPv4 = netip.MustParseAddr("10.0.0.7")
	if problems, err := m.provision(a); err != nil || problems != "" {
		t.Errorf("%s%v", problems, err)
	}
	m.want("etc/hostname", "node-10.0.0.7\n")
	a.UserData = []byte("#cloud-config\nhostname: node-$private_ipv6\n")
	problems, err := m.provision(a)
	if !errors.Is(err, ErrUserData) || !strings.Contains(problems, "$private_ipv6 is not known on this machine") || !strings.Contains(problems, `error: hostname: "node-": want`) {
		t.Errorf("%s%v", problems, err)
	}
}

func TestScriptOfWindows(t *testing.T) {
	m := newMachine(t)
	m.put("bin/sh", "")
	problems, err := m.provision(withUserData("#!/bin/sh\r\necho a\r\n"))
	if err != nil || problems != "test: line 1: warning: the script has line ends of Windows (CRLF); they are converted\n" {
		t.Errorf("%s%v", problems, err)
	}
	m.want("var/lib/coreos-cloudinit/script", "#!/bin/sh\necho a\n")
	// Data in a script of Unix stay as they are.
	if _, err := m.provision(withUserData("#!/bin/sh\nprintf 'a\r\n'\r\n")); err != nil {
		t.Error(err)
	}
	m.want("var/lib/coreos-cloudinit/script", "#!/bin/sh\nprintf 'a\r\n'\r\n")
}

func TestInterpreter(t *testing.T) {
	for text, want := range map[string]string{
		"#!/bin/sh": "/bin/sh", "#! /bin/bash -eu\nx": "/bin/bash", "#!/bin/sh\t\n": "/bin/sh", "#!\n": "", "#!/usr/bin/env python3\n": "/usr/bin/env", "#!/bin/sh\t-eu\n": "/bin/sh",
	} {
		if got := interpreter([]byte(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	m := newMachine(t)
	if err := m.Script(t.Context(), []byte("#!/usr/bin/perl\n"), "/var/lib/x"); err == nil || err.Error() != "the script's interpreter /usr/bin/perl is not on this machine" {
		t.Errorf("error %v", err)
	}
}

// TestOtherUserData says why user-data is ignored. The metadata are applied.
func TestOtherUserData(t *testing.T) {
	for text, want := range map[string]string{
		"{\n \"ignition\": {\"version\": \"3.4.0\"},\n}": "line 3, column 1: it is JSON that breaks off or is not valid here",
		"\xef\xbb\xbf#cloud-config\nhostname: a\n":       "byte order mark (BOM",
		"\n#cloud-config\nhostname: a\n":                 "blank lines",
		"#cloud-config\nhostname: a\n---\nusers: []\n":   "line 4, column 1: error: a second YAML document",
	} {
		m := newMachine(t)
		a := withUserData(text)
		a.Metadata.SSHKeys = []string{goodKey}
		if problems, err := m.provision(a); !errors.Is(err, ErrUserData) || !strings.Contains(problems, want) {
			t.Errorf("%q: %s%v", text, problems, err)
		}
		m.want("home/core/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+"\n")
	}
}

// TestUndecoded has user-data that could not be decoded. The first boot must not take the machine
// for one without user-data.
func TestUndecoded(t *testing.T) {
	m := newMachine(t)
	a := answer{Undecoded: errors.New("the gzip data are not valid")}
	a.Metadata.SSHKeys = []string{goodKey}
	if problems, err := m.provision(a); !errors.Is(err, ErrUserData) || problems != "test: error: user-data: the gzip data are not valid; it is ignored\n" {
		t.Errorf("%s%v", problems, err)
	}
	m.want("home/core/.ssh/authorized_keys.d/coreos-cloudinit", goodKey+"\n")
	p := Provision{Sources: []datasource.Source{a}}
	if kind, err := p.Kind(t.Context()); kind != cloudconfig.Unknown || err != nil {
		t.Errorf("kind %v, error %v", kind, err)
	}
}

func TestSetLines(t *testing.T) {
	set := cloudconfig.Settings{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}
	for text, want := range map[string]string{
		"": "A=1\nB=2\n", "X=y": "X=y\nA=1\nB=2\n", "B=9\nAA=3\nA=9\n# A=\n": "AA=3\n# A=\nA=1\nB=2\n",
	} {
		if got := string(setLines([]byte(text), set)); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := string(setLines([]byte("x"), nil)); got != "x" {
		t.Errorf("nothing to set makes %q", got)
	}
}
