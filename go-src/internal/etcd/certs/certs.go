package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Request describes the certificates to make.
type Request struct {
	Dir      string
	Machines []Machine
	Clients  []string      // names, which are the names of users in etcd
	Life     time.Duration // of new certificates
	Renew    time.Duration // renew certificates that expire within this time
	Now      time.Time
	Say      func(format string, args ...any) // prints a line about each file
}

// Machine is a member of the cluster. Other members reach it at its first address.
type Machine struct {
	Name      string
	Addresses []string // IP addresses and DNS names
}

// names are the valid names of machines and clients, which become names of directories.
var names = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`) })

var dnsName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,62}\.?)+$`) })

// ParseMachine parses NAME=ADDRESS[,ADDRESS...].
func ParseMachine(text string) (Machine, error) {
	name, addresses, _ := strings.Cut(text, "=")
	m := Machine{name, strings.Split(addresses, ",")}
	if !names().MatchString(name) || name == "clients" {
		return m, fmt.Errorf("machine %.80q: want NAME=ADDRESS[,ADDRESS...], with a name of letters, digits, dots, _ and -", text)
	}
	for _, address := range m.Addresses {
		if ip := net.ParseIP(address); ip == nil && (!dnsName().MatchString(address) || len(address) > 253) {
			return m, fmt.Errorf("machine %s: %.80q is neither an IP address nor a DNS name", name, address)
		}
	}
	return m, nil
}

// kind is a use of certificates.
type kind struct {
	file   string
	usages []x509.ExtKeyUsage
}

var (
	server = kind{"server", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	// A member is also a client: of the other members, and of itself by its gateway.
	peer   = kind{"peer", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	client = kind{"client", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
)

// Make makes the certificates that are missing, expire soon or have other addresses, and
// keeps the others.
func (r *Request) Make() error {
	if err := r.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	a, made, err := openAuthority(r.Dir, r.Now)
	if err != nil {
		return err
	}
	r.say(made, "ca.crt", "", a.cert)
	if r.Now.Add(r.Life).After(a.cert.NotAfter) {
		r.Say("WARNING: the authority ends on %s, and with it all certificates: make a new one in another directory in time", day(a.cert.NotAfter))
	}
	for _, m := range r.Machines {
		if err := errors.Join(r.renew(a, m.Name, server, m.Name, m.Addresses), r.renew(a, m.Name, peer, m.Name, m.Addresses)); err != nil {
			return err
		}
	}
	for _, name := range r.Clients {
		if err := r.renew(a, filepath.Join("clients", name), client, name, nil); err != nil {
			return err
		}
	}
	for _, m := range r.Machines {
		if err := r.writeSettings(m); err != nil {
			return err
		}
	}
	return r.others()
}

func (r *Request) check() error {
	if r.Life <= r.Renew || r.Renew < 0 {
		return fmt.Errorf("certificates that last %v and are renewed %v before they expire would always be renewed", r.Life, r.Renew)
	}
	seen := map[string]bool{}
	for _, m := range r.Machines {
		if seen[m.Name] || seen[m.Addresses[0]] {
			return fmt.Errorf("machine %s: another machine has the same name or the same first address", m.Name)
		}
		seen[m.Name], seen[m.Addresses[0]] = true, true
		if _, err := m.listen(); err != nil {
			return err
		}
	}
	for _, name := range r.Clients {
		if !names().MatchString(name) {
			return fmt.Errorf("client %.80q: want a name of letters, digits, dots, _ and -", name)
		}
	}
	return nil
}

// say prints whether a file was made or kept.
func (r *Request) say(made bool, file, why string, cert *x509.Certificate) {
	if made {
		r.Say("made %s, which ends on %s%s", file, day(cert.NotAfter), why)
		return
	}
	r.Say("kept %s, which ends on %s", file, day(cert.NotAfter))
}

// renew makes a certificate if necessary. It is always valid for the loopback addresses of
// a machine, too.
func (r *Request) renew(a *authority, dir string, k kind, name string, addresses []string) error {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{"etcd " + k.file}},
		NotBefore: r.Now.Add(-skew), NotAfter: earlier(r.Now.Add(r.Life), a.cert.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: k.usages, BasicConstraintsValid: true,
	}
	if len(addresses) > 0 {
		for _, address := range slices.Concat(addresses, []string{"localhost", "127.0.0.1", "::1"}) {
			if ip := net.ParseIP(address); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, address)
			}
		}
	}
	file := filepath.Join(dir, k.file+".crt")
	path := filepath.Join(r.Dir, file)
	keyPath := strings.TrimSuffix(path, ".crt") + ".key"
	why, old := r.stale(a, path, keyPath, template)
	if err := write(filepath.Join(r.Dir, dir, "ca.crt"), a.pem, 0o644); err != nil {
		return err
	}
	if why == "" {
		r.say(false, file, "", old)
		return nil
	}
	cert, _, err := issue(template, a, path, keyPath)
	if err != nil {
		return err
	}
	r.say(true, file, ": "+why, cert)
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// stale returns why a certificate has to be made, or "".
func (r *Request) stale(a *authority, path, keyPath string, want *x509.Certificate) (string, *x509.Certificate) {
	cert, _, err := readPair(path, keyPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there was none", nil
	case err != nil:
		return err.Error(), nil
	case cert.CheckSignatureFrom(a.cert) != nil:
		return "the former one is another authority's", nil
	case r.Now.Add(r.Renew).After(cert.NotAfter):
		return "the former one ends on " + day(cert.NotAfter), nil
	case r.Now.Before(cert.NotBefore):
		return "the former one begins on " + day(cert.NotBefore) + ", when the clock was ahead", nil
	case !slices.Equal(sorted(cert), sorted(want)) || cert.Subject.CommonName != want.Subject.CommonName:
		return "the former one is for other addresses", nil
	}
	return "", cert
}

func sorted(cert *x509.Certificate) []string {
	all := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// others warns of certificates that expire soon and are not in the request.
func (r *Request) others() error {
	files, err := filepath.Glob(filepath.Join(r.Dir, "*", "*.crt"))
	clients, err2 := filepath.Glob(filepath.Join(r.Dir, "clients", "*", "*.crt"))
	for _, file := range slices.Concat(files, clients) {
		if cert, err := Read(file); err == nil && r.Now.Add(r.Renew).After(cert.NotAfter) && !cert.IsCA {
			r.Say("WARNING: %s ends on %s and was not asked for: give its --machine or --client, too", file, day(cert.NotAfter))
		}
	}
	return errors.Join(err, err2)
}
