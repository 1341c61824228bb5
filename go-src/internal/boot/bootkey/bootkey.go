// Package bootkey makes the OpenPGP key of a build, signs with it what GRUB verifies, and
// verifies such signatures. GRUB takes detached binary signatures by RSA keys. The
// signatures are deterministic, so that two builds of the same inputs are identical.
package bootkey

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/renameio/v2"
)

// Files in a key directory.
const (
	PrivateFile = "boot.key" // armored private key, without passphrase
	PublicFile  = "boot.pub" // public key as GRUB embeds it: binary
)

const rsaBits = 4096

func config(when time.Time) *packet.Config {
	deterministic := false
	return &packet.Config{
		DefaultHash:                           crypto.SHA256, // the fastest hash of GRUB's 32-bit code
		RSABits:                               rsaBits,
		Algorithm:                             packet.PubKeyAlgoRSA,
		Time:                                  func() time.Time { return when },
		NonDeterministicSignaturesViaNotation: &deterministic,
	}
}

// Generate makes a key in dir with the creation time when. It never replaces a key.
func Generate(dir, name string, when time.Time) error {
	private := filepath.Join(dir, PrivateFile)
	if _, err := os.Stat(private); err == nil {
		return fmt.Errorf("%s exists already", private)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entity, err := openpgp.NewEntity(name, "", "", config(when))
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	var public, secret bytes.Buffer
	if err := writePublic(&public, entity); err != nil {
		return err
	}
	armored, err := armor.Encode(&secret, openpgp.PrivateKeyType, nil)
	if err != nil {
		return err
	}
	if err := entity.SerializePrivateWithoutSigning(armored, nil); err != nil {
		return err
	}
	if err := armored.Close(); err != nil {
		return err
	}
	secret.WriteByte('\n')
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The private key is written last: the pair is complete once it exists.
	if err := replaceFile(filepath.Join(dir, PublicFile), public.Bytes(), 0o644); err != nil {
		return err
	}
	return replaceFile(private, secret.Bytes(), 0o600)
}

// Load reads the private key of a key directory.
func Load(dir string) (*openpgp.Entity, error) {
	path := filepath.Join(dir, PrivateFile)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	defer func() { _ = file.Close() }()
	keys, err := openpgp.ReadArmoredKeyRing(file)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	if len(keys) != 1 || keys[0].PrivateKey == nil {
		return nil, fmt.Errorf("signing key %s: want one private key", path)
	}
	if keys[0].PrivateKey.PubKeyAlgo != packet.PubKeyAlgoRSA {
		return nil, fmt.Errorf("signing key %s: GRUB verifies RSA keys only", path)
	}
	if keys[0].PrivateKey.Encrypted {
		return nil, fmt.Errorf("signing key %s: export it without a passphrase", path)
	}
	keys[0].Subkeys = nil // GRUB has only the primary key, so that key must sign
	return keys[0], nil
}

// Sign writes the detached signature of the file at path to path.sig, with the creation
// time when.
func Sign(key *openpgp.Entity, path string, when time.Time) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var signature bytes.Buffer
	if err := openpgp.DetachSign(&signature, key, file, config(when)); err != nil {
		return fmt.Errorf("sign %s: %w", path, err)
	}
	if err := addIssuer(&signature, key.PrimaryKey.KeyId); err != nil {
		return fmt.Errorf("sign %s: %w", path, err)
	}
	var framed bytes.Buffer
	if err := reframe(&framed, &signature); err != nil {
		return err
	}
	return replaceFile(path+".sig", framed.Bytes(), 0o644)
}

// Verify checks path.sig against the public key at public.
func Verify(public, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	signature, err := os.Open(path + ".sig")
	if err != nil {
		return err
	}
	defer func() { _ = signature.Close() }()
	if err := VerifyReader(public, file, signature); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// VerifyReader checks the detached signature of a file against the public key at public.
func VerifyReader(public string, file, signature io.Reader) error {
	keyFile, err := os.Open(public)
	if err != nil {
		return err
	}
	defer func() { _ = keyFile.Close() }()
	publicKey, err := readPublic(keyFile)
	if err != nil {
		return fmt.Errorf("public key %s: %w", public, err)
	}
	return checkSignature(publicKey, file, signature)
}

func readPublic(r io.Reader) (*packet.PublicKey, error) {
	p, err := packet.Read(r)
	if err != nil {
		return nil, err
	}
	key, ok := p.(*packet.PublicKey)
	if !ok {
		return nil, errors.New("not an OpenPGP public key")
	}
	return key, nil
}

func checkSignature(key *packet.PublicKey, file, signature io.Reader) error {
	p, err := packet.Read(signature)
	if err != nil {
		return err
	}
	s, ok := p.(*packet.Signature)
	if !ok {
		return errors.New("not an OpenPGP signature")
	}
	hash, err := s.PrepareVerify()
	if err != nil {
		return err
	}
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	return key.VerifySignature(hash, s)
}

// addIssuer puts the key id into the unhashed area of a version 4 signature,
// where GRUB looks for it; the library writes that area empty.
func addIssuer(signature *bytes.Buffer, id uint64) error {
	p, err := packet.NewOpaqueReader(signature).Next()
	if err != nil {
		return err
	}
	const fixed, issuer = 4, 16 // octets before the hashed area; subpacket type
	body := p.Contents
	if len(body) < fixed+2 {
		return errors.New("signature packet is too short")
	}
	at := fixed + 2 + int(binary.BigEndian.Uint16(body[fixed:]))
	if len(body) < at+2 || binary.BigEndian.Uint16(body[at:]) != 0 {
		return errors.New("signature packet of an unexpected form")
	}
	area := binary.BigEndian.AppendUint64([]byte{0, 10, 9, issuer}, id)
	p.Contents = slices.Concat(body[:at], area, body[at+2:])
	signature.Reset()
	return p.Serialize(signature)
}

// writePublic writes the public primary key. GRUB uses no other packet.
func writePublic(w *bytes.Buffer, entity *openpgp.Entity) error {
	var key bytes.Buffer
	if err := entity.PrimaryKey.Serialize(&key); err != nil {
		return err
	}
	return reframe(w, &key)
}

// reframe writes packets with headers of the old format (RFC 4880, section 4.2.1) and
// lengths of two octets: GRUB reads two-octet lengths of the new format wrongly.
func reframe(w *bytes.Buffer, r io.Reader) error {
	packets := packet.NewOpaqueReader(r)
	for {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(p.Contents) > math.MaxUint16 || p.Tag > 15 {
			return fmt.Errorf("OpenPGP packet %d of %d bytes has no old-format header", p.Tag, len(p.Contents))
		}
		w.WriteByte(0x80 | p.Tag<<2 | 1)
		w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(p.Contents))))
		w.Write(p.Contents)
	}
}

// replaceFile replaces the file at path atomically. The file gets exactly that mode.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	return renameio.WriteFile(path, data, mode, renameio.WithStaticPermissions(mode))
}
