package sshclient

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// checkKeys makes a connection accept only the known key of its host.
func (c Config) checkKeys(config *ssh.ClientConfig, address string) error {
	if c.KnownHosts == "" {
		config.HostKeyCallback = ssh.InsecureIgnoreHostKey()
		return nil
	}
	var files []string
	if _, err := os.Stat(c.KnownHosts); err == nil {
		files = append(files, c.KnownHosts)
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return fmt.Errorf("keys of hosts: %w", err)
	}
	config.HostKeyAlgorithms = algorithms(known, address)
	config.HostKeyCallback = func(host string, remote net.Addr, key ssh.PublicKey) error {
		return c.checkKey(known, host, remote, key)
	}
	return nil
}

// checkKey looks up a key by the name and by the address of its host.
func (c Config) checkKey(known ssh.HostKeyCallback, host string, remote net.Addr, key ssh.PublicKey) error {
	err := known(host, remote, key)
	var other *knownhosts.KeyError
	if errors.As(err, &other) && len(other.Want) == 0 && remote.String() != host {
		if byAddress := known(remote.String(), remote, key); byAddress == nil || errors.As(byAddress, &other) {
			err = byAddress
		}
	}
	if err == nil || !errors.As(err, &other) {
		return err
	}
	if len(other.Want) > 0 {
		return fmt.Errorf("the host shows the key %s, but has another one in %s, line %d: somebody may intercept the connection; "+
			"if the host is new, remove the line", ssh.FingerprintSHA256(key), other.Want[0].Filename, other.Want[0].Line)
	}
	question := fmt.Sprintf("The host %s is not known. The fingerprint of its key (%s) is %s.\nIs that right (yes/no)? ", host, key.Type(), ssh.FingerprintSHA256(key))
	if c.Ask == nil || !c.Ask(question) {
		return fmt.Errorf("the host's key %s %s is not in %s", key.Type(), ssh.FingerprintSHA256(key), c.KnownHosts)
	}
	return c.remember(host, key)
}

func (c Config) remember(host string, key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(c.KnownHosts), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(c.KnownHosts, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, knownhosts.Line([]string{host}, key))
	return errors.Join(err, file.Close())
}

// algorithms returns the algorithms of the known keys of a host. A host with several keys could
// otherwise present one that is not known. For an unknown host there are none, which allows all.
func algorithms(known ssh.HostKeyCallback, address string) []string {
	var other *knownhosts.KeyError
	if !errors.As(known(address, new(net.TCPAddr), noKey{}), &other) {
		return nil
	}
	var all []string
	for _, want := range other.Want {
		kind := want.Key.Type()
		if kind == ssh.KeyAlgoRSA {
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		all = append(all, kind)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }
