// Package certs makes the certificates of the members of an etcd cluster and of its
// clients, and the settings that use them.
//
// The directory has ca.crt and ca.key of the certificate authority, a directory for each
// machine, whose files belong on that machine, and a directory for each client in
// "clients". Certificates are X.509, keys are ECDSA P-256 in PKCS #8; both are PEM files.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"coreos/internal/host/pemfile"
)

// caLife is the lifetime of a certificate authority. Replacing one changes files on every
// machine.
const caLife = 10 * 365 * 24 * time.Hour

// skew is how far before now a certificate begins to be valid, for machines whose clocks
// are behind.
const skew = time.Hour

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// openAuthority reads the certificate authority of a directory, or makes one. It fails if
// only the certificate or only the key exists: certificates of two authorities do not work
// together.
func openAuthority(dir string, now time.Time) (a *authority, made bool, err error) {
	certPath, keyPath := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	cert, key, err := readPair(certPath, keyPath)
	switch {
	case err == nil && !cert.IsCA:
		return nil, false, fmt.Errorf("%s is not the certificate of an authority", certPath)
	case err == nil && now.After(cert.NotAfter):
		return nil, false, fmt.Errorf("the authority in %s ended on %s: move it away, make new certificates for all machines, and put them there at the same time", certPath, day(cert.NotAfter))
	case err == nil && now.Before(cert.NotBefore):
		return nil, false, fmt.Errorf("the authority in %s begins on %s, and this machine's clock says %s: set the clock; if the authority was made while a clock was ahead, move it away, make new certificates for all machines, and put them there at the same time", certPath, day(cert.NotBefore), day(now))
	case err == nil:
		return &authority{cert, key, encode("CERTIFICATE", cert.Raw)}, false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	case exists(certPath):
		return nil, false, fmt.Errorf("%s exists and %s does not: restore the missing file, or move the other away to get a new authority", certPath, keyPath)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "etcd"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	// The key is written first, so that a certificate always has its key.
	cert, signer, err := issue(template, nil, certPath, keyPath)
	if err != nil {
		return nil, false, err
	}
	return &authority{cert, signer, encode("CERTIFICATE", cert.Raw)}, true, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// issue makes a key and its certificate, and writes both. The certificate is signed by a,
// or by itself if a is nil.
func issue(template *x509.Certificate, a *authority, certPath, keyPath string) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	parent, signer := template, crypto.Signer(key)
	if a != nil {
		parent, signer = a.cert, a.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", certPath, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(write(keyPath, encode("PRIVATE KEY", private), 0o600), write(certPath, encode("CERTIFICATE", raw), 0o644)); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	return cert, key, err
}

// write replaces a file atomically.
func write(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(path, data, mode, renameio.WithTempDir(dir), renameio.IgnoreUmask())
}

func encode(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

// readPair reads a certificate and its key, and checks that they match.
func readPair(certPath, keyPath string) (*x509.Certificate, crypto.Signer, error) {
	cert, err := Read(certPath)
	if err != nil {
		return nil, nil, err
	}
	raw, err := pemfile.Read(keyPath, "PRIVATE KEY")
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", keyPath, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s: the key cannot sign", keyPath)
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", keyPath, certPath)
	}
	return cert, key, nil
}

// Read reads the first certificate of a PEM file.
func Read(path string) (*x509.Certificate, error) {
	raw, err := pemfile.Read(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
