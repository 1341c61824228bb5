package repository

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/host/pemfile"
)

// Key is an Ed25519 key that signs metadata.
type Key struct {
	signature.Signer
	// ID is the name of the key in metadata.
	ID string
}

// GenerateKey makes a key: it writes the private half to path (PKCS #8, PEM, readable only
// by its owner) and the public half to path.pub. Neither file may exist.
func GenerateKey(path string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	privateBytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	publicBytes, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if err := writeNew(path+".pub", 0o644, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicBytes})); err != nil {
		return err
	}
	return writeNew(path, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateBytes}))
}

func writeNew(path string, mode os.FileMode, text []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// ReadKey reads a private key.
func ReadKey(path string) (Key, error) {
	block, err := pemfile.Read(path, "PRIVATE KEY")
	if err != nil {
		return Key{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block)
	if err != nil {
		return Key{}, fmt.Errorf("private key %s: %w", path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return Key{}, fmt.Errorf("private key %s is not an Ed25519 key", path)
	}
	return newKey(private)
}

func newKey(private ed25519.PrivateKey) (Key, error) {
	signer, err := signature.LoadED25519Signer(private)
	if err != nil {
		return Key{}, fmt.Errorf("private key: %w", err)
	}
	public, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		return Key{}, fmt.Errorf("private key: %w", err)
	}
	id, err := public.ID()
	return Key{signer, id}, err
}

// ReadPublicKey reads the public half of a key.
func ReadPublicKey(path string) (*metadata.Key, error) {
	block, err := pemfile.Read(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(block)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", path, err)
	}
	if _, ok := public.(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("public key %s is not an Ed25519 key", path)
	}
	return metadata.KeyFromPublicKey(public)
}
