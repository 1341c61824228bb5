// Package tlsroots reads the certificates of trusted authorities.
package tlsroots

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Read reads a file of PEM certificates. One without any is an error.
func Read(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there are no certificates in %s", file)
	}
	return pool, nil
}
