// Package authenticode signs the image of a kernel, which is a PE file, for kexec: a kernel in
// lockdown starts only kernels with such a signature (Windows Authenticode Portable Executable
// Signature Format; verify_pefile.c of Linux). The signatures are deterministic.
package authenticode

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// Offsets in a PE32+ file, in bytes: of the header's address, and within the header.
const (
	addressOfHeader = 0x3c
	sectionCount    = 6
	optionalHeader  = 24
	headerSize      = optionalHeader + 60
	checksum        = optionalHeader + 64
	directoryCount  = optionalHeader + 108
	certificates    = optionalHeader + 112 + 4*8 // the fifth entry: place and length
	sections        = optionalHeader + 112       // behind all directory entries of 8 bytes
	sectionSize     = 40
)

// Certificate of a WIN_CERTIFICATE: a header of 8 bytes, aligned to 8 bytes.
const (
	revision   = 0x0200
	signedData = 0x0002
	align      = 8
)

// ErrSigned says that an image has a signature already.
var ErrSigned = errors.New("the image has a signature")

// Key is a private key with its certificate.
type Key struct {
	private     *rsa.PrivateKey
	certificate *x509.Certificate
}

// LoadKey reads a PEM file with an RSA key (PKCS #8) and its certificate.
func LoadKey(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key := &Key{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if err := key.take(block); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if key.private == nil || key.certificate == nil || !key.private.PublicKey.Equal(key.certificate.PublicKey) {
		return nil, fmt.Errorf("%s: want a private RSA key and its certificate", path)
	}
	return key, nil
}

func (k *Key) take(block *pem.Block) (err error) {
	switch block.Type {
	case "CERTIFICATE":
		k.certificate, err = x509.ParseCertificate(block.Bytes)
	case "PRIVATE KEY":
		var private any
		if private, err = x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			k.private, _ = private.(*rsa.PrivateKey)
		}
	}
	return err
}

// Sign returns the image with a signature at its end. An image with one is refused: a kernel
// looks at the first signature only.
func Sign(image []byte, key *Key) ([]byte, error) {
	header, err := findHeader(image)
	if err != nil {
		return nil, err
	}
	entry := header + certificates
	if !bytes.Equal(image[entry:entry+8], make([]byte, 8)) {
		return nil, ErrSigned
	}
	signed := bytes.Clone(image)
	signed = append(signed, make([]byte, (align-len(signed)%align)%align)...)
	message, err := key.message(digest(signed, header))
	if err != nil {
		return nil, err
	}
	place, length := len(signed), 8+len(message)
	signed = binary.LittleEndian.AppendUint32(signed, uint32(length))
	signed = binary.LittleEndian.AppendUint16(signed, revision)
	signed = binary.LittleEndian.AppendUint16(signed, signedData)
	signed = append(signed, message...)
	signed = append(signed, make([]byte, (align-len(signed)%align)%align)...)
	binary.LittleEndian.PutUint32(signed[entry:], uint32(place))
	binary.LittleEndian.PutUint32(signed[entry+4:], uint32(len(signed)-place))
	return signed, nil
}

// findHeader returns the place of the PE header, all of which is in the image. The bytes of the
// sections have to follow the headers without gaps: then their digest is that of the file.
func findHeader(image []byte) (int, error) {
	wrong := func(what string) (int, error) { return 0, fmt.Errorf("not a kernel for EFI: %s", what) }
	if len(image) < addressOfHeader+4 || string(image[:2]) != "MZ" {
		return wrong("no MZ header")
	}
	header := int(binary.LittleEndian.Uint32(image[addressOfHeader:]))
	if header > len(image)-sections || string(image[header:header+4]) != "PE\x00\x00" {
		return wrong("no PE header")
	}
	field := func(offset int) int { return int(binary.LittleEndian.Uint32(image[header+offset:])) }
	if binary.LittleEndian.Uint16(image[header+optionalHeader:]) != 0x20b || field(directoryCount) < 5 {
		return wrong("no PE32+ header with a place for signatures")
	}
	count := int(binary.LittleEndian.Uint16(image[header+sectionCount:]))
	table, end := sections+8*field(directoryCount), field(headerSize)
	if field(directoryCount) > 16 || header+table+count*sectionSize > end || end > len(image) {
		return wrong("a header that is cut off")
	}
	for n := range count {
		size, place := field(table+n*sectionSize+16), field(table+n*sectionSize+20)
		if size == 0 {
			continue
		}
		if place != end || size > len(image)-end {
			return wrong("sections that do not follow each other")
		}
		end += size
	}
	return header, nil
}

// digest is that of the image without its checksum and the place of its signature.
func digest(image []byte, header int) []byte {
	sum := sha256.New()
	sum.Write(image[:header+checksum])
	sum.Write(image[header+checksum+4 : header+certificates])
	sum.Write(image[header+certificates+8:])
	return sum.Sum(nil)
}

// rawSign signs what the signature covers.
func (k *Key) rawSign(covered []byte) ([]byte, error) {
	hashed := sha256.Sum256(covered)
	return rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, hashed[:])
}
