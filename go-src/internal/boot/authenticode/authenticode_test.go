package authenticode

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// kernel makes a PE32+ file with two sections and an odd length.
func kernel() []byte {
	const header, headers = 0x80, 0x400
	image := make([]byte, headers+0x200+0x101)
	copy(image, "MZ")
	binary.LittleEndian.PutUint32(image[addressOfHeader:], header)
	copy(image[header:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(image[header+sectionCount:], 2)
	binary.LittleEndian.PutUint16(image[header+optionalHeader:], 0x20b)
	binary.LittleEndian.PutUint32(image[header+headerSize:], headers)
	binary.LittleEndian.PutUint32(image[header+directoryCount:], 6)
	for n, section := range [][2]uint32{{headers, 0x200}, {headers + 0x200, 0x100}} {
		at := header + sections + 6*8 + n*sectionSize
		binary.LittleEndian.PutUint32(image[at+16:], section[1])
		binary.LittleEndian.PutUint32(image[at+20:], section[0])
	}
	for i := headers; i < len(image); i++ {
		image[i] = byte(i)
	}
	return image
}

func newKey(t testing.TB) *Key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "modules"}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "modules.pem")
	text := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verify checks a signed image as a kernel does.
func verify(image []byte, public *rsa.PublicKey) error {
	header := int(binary.LittleEndian.Uint32(image[addressOfHeader:]))
	place := int(binary.LittleEndian.Uint32(image[header+certificates:]))
	length := int(binary.LittleEndian.Uint32(image[header+certificates+4:]))
	if place%align != 0 || place+length != len(image) {
		return errors.New("the signature is not at the end of the image")
	}
	var outer contentInfo
	if _, err := asn1.Unmarshal(image[place+8:], &outer); err != nil || !outer.Type.Equal(oidSignedData) {
		return errors.New("no PKCS #7")
	}
	var message signedMessage
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &message); err != nil {
		return err
	}
	var content spcIndirectData
	if _, err := asn1.Unmarshal(message.Content.Content.Bytes, &content); err != nil {
		return err
	}
	if !bytes.Equal(content.MessageDigest.Digest, digest(image[:place], header)) {
		return errors.New("another digest")
	}
	attributes, err := signedAttributes(message.Content.Content.Bytes)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(attributes, message.Signers[0].Attributes.Bytes) {
		return errors.New("other attributes")
	}
	hashed := sha256.Sum256(attributes)
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, hashed[:], message.Signers[0].Signature)
}

func TestSign(t *testing.T) {
	key := newKey(t)
	signed, err := Sign(kernel(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(signed, &key.private.PublicKey); err != nil {
		t.Error(err)
	}
	if again, err := Sign(kernel(), key); err != nil || !bytes.Equal(again, signed) {
		t.Errorf("a second signature differs (error %v)", err)
	}
	if _, err := Sign(signed, key); !errors.Is(err, ErrSigned) {
		t.Errorf("error %v for a signed image", err)
	}
	for _, at := range []int{0x10, 0x480, len(kernel()) - 1} {
		changed := bytes.Clone(signed)
		changed[at] ^= 1
		if verify(changed, &key.private.PublicKey) == nil {
			t.Errorf("a change at %#x is not noticed", at)
		}
	}
	if verify(signed, &newKey(t).private.PublicKey) == nil {
		t.Error("the signature of another key is taken")
	}
}

func TestSignRefuses(t *testing.T) {
	key := newKey(t)
	for name, change := range map[string]func([]byte) []byte{
		"no kernel":        func([]byte) []byte { return []byte("MZ") },
		"no MZ":            func(b []byte) []byte { b[0] = 0; return b },
		"header outside":   func(b []byte) []byte { b[addressOfHeader+2] = 1; return b },
		"no PE":            func(b []byte) []byte { b[0x80] = 0; return b },
		"PE32":             func(b []byte) []byte { b[0x80+optionalHeader+1] = 1; return b },
		"no directory":     func(b []byte) []byte { b[0x80+directoryCount] = 4; return b },
		"many directories": func(b []byte) []byte { b[0x80+directoryCount+3] = 1; return b },
		"many sections":    func(b []byte) []byte { b[0x80+sectionCount+1] = 1; return b },
		"a gap":            func(b []byte) []byte { b[0x80+sections+6*8+20] = 8; return b },
		"cut off":          func(b []byte) []byte { return b[:0x480] },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Sign(change(kernel()), key); err == nil {
				t.Error("signed")
			}
		})
	}
}

func FuzzSign(f *testing.F) {
	key := newKey(f)
	f.Add(kernel())
	f.Fuzz(func(t *testing.T, image []byte) {
		if signed, err := Sign(image, key); err == nil && verify(signed, &key.private.PublicKey) != nil {
			t.Error("a signature that does not verify")
		}
	})
}
