package bootkey

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var (
	created  = time.Unix(1_700_000_000, 0)
	signTime = created.Add(time.Hour)
)

// generated makes one key directory for all tests: that takes seconds.
var generated = sync.OnceValues(func() (string, error) {
	var err error
	if temporary, err = os.MkdirTemp("", "bootkey"); err != nil {
		return "", err
	}
	dir := filepath.Join(temporary, "keys")
	return dir, Generate(dir, "Test", created)
})

var temporary string // what generated made

func TestMain(m *testing.M) {
	code := m.Run()
	if temporary != "" {
		_ = os.RemoveAll(temporary)
	}
	os.Exit(code)
}

func keyDir(t *testing.T) string {
	t.Helper()
	dir, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// signed returns the path of a file signed by the generated key.
func signed(t *testing.T, content string, when time.Time) string {
	t.Helper()
	key, err := Load(keyDir(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vmlinuz")
	mustWrite(t, path, []byte(content))
	if err := Sign(key, path, when); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGenerate(t *testing.T) {
	dir := keyDir(t)
	for name, mode := range map[string]os.FileMode{".": 0o700, PrivateFile: 0o600, PublicFile: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, mode)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	key, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PrimaryKey.CreationTime.Equal(created) || key.Identities["Test"] == nil {
		t.Errorf("key of %v made at %v", key.Identities, key.PrimaryKey.CreationTime)
	}
	if bits := key.PrimaryKey.PublicKey.(*rsa.PublicKey).N.BitLen(); bits != rsaBits {
		t.Errorf("key of %d bits", bits)
	}
}

func TestGenerateNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, PrivateFile), []byte("mine"))
	mustWrite(t, filepath.Join(dir, PublicFile), []byte("mine"))
	if err := Generate(dir, "Test", created); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("got error %v", err)
	}
	for _, name := range []string{PrivateFile, PublicFile} {
		if got := mustRead(t, filepath.Join(dir, name)); string(got) != "mine" {
			t.Errorf("%s became %q", name, got)
		}
	}
}

// TestPublicKey checks what GRUB's grub_load_public_key reads: a version 4 RSA key.
func TestPublicKey(t *testing.T) {
	body := oldPacket(t, mustRead(t, filepath.Join(keyDir(t), PublicFile)), 6)
	const rsaAlgorithm = 1
	if body[0] != 4 || binary.BigEndian.Uint32(body[1:]) != uint32(created.Unix()) || body[5] != rsaAlgorithm {
		t.Errorf("key packet starts with %x", body[:6])
	}
	if bits := binary.BigEndian.Uint16(body[6:]); bits != rsaBits {
		t.Errorf("modulus of %d bits", bits)
	}
}

// newEntity makes a small key.
func newEntity(t *testing.T, algorithm packet.PublicKeyAlgorithm) *openpgp.Entity {
	t.Helper()
	c := config(created)
	c.RSABits, c.Algorithm = 2048, algorithm
	entity, err := openpgp.NewEntity("Small", "", "", c)
	if err != nil {
		t.Fatal(err)
	}
	return entity
}

// armored writes private keys, or public ones, into a new key directory.
func armored(t *testing.T, kind string, entities ...*openpgp.Entity) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entities {
		if kind == openpgp.PublicKeyType {
			err = errors.Join(err, e.Serialize(w))
		} else {
			err = errors.Join(err, e.SerializePrivateWithoutSigning(w, nil))
		}
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, PrivateFile), b.Bytes())
	return dir
}

func TestLoadRefuses(t *testing.T) {
	small := newEntity(t, packet.PubKeyAlgoRSA)
	text := func(s string) string {
		dir := t.TempDir()
		mustWrite(t, filepath.Join(dir, PrivateFile), []byte(s))
		return dir
	}
	encrypted := newEntity(t, packet.PubKeyAlgoRSA)
	if err := encrypted.EncryptPrivateKeys([]byte("secret"), nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, dir, want string }{
		{"no file", t.TempDir(), "no such file"},
		{"empty file", text(""), "signing key"},
		{"not armored", text("not a key\n"), "signing key"},
		{"cut off", text(string(mustRead(t, filepath.Join(keyDir(t), PrivateFile))[:1000])), "signing key"},
		{"public key", armored(t, openpgp.PublicKeyType, small), "want one private key"},
		{"two keys", armored(t, openpgp.PrivateKeyType, small, newEntity(t, packet.PubKeyAlgoEdDSA)), "want one private key"},
		{"elliptic curves", armored(t, openpgp.PrivateKeyType, newEntity(t, packet.PubKeyAlgoEdDSA)), "RSA keys only"},
		{"with a passphrase", armored(t, openpgp.PrivateKeyType, encrypted), "export it without a passphrase"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key, err := Load(test.dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || key != nil {
				t.Errorf("got %v and error %v, want one with %q", key, err, test.want)
			}
			if path := filepath.Join(test.dir, PrivateFile); err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("error %v does not name %s", err, path)
			}
		})
	}
}

// TestSigningSubkey has a key of somebody's own, with a subkey for signing: it is
// the primary key that GRUB knows.
func TestSigningSubkey(t *testing.T) {
	entity := newEntity(t, packet.PubKeyAlgoRSA)
	c := config(created)
	c.RSABits = 2048
	if err := entity.AddSigningSubkey(c); err != nil {
		t.Fatal(err)
	}
	key, err := Load(armored(t, openpgp.PrivateKeyType, entity))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, public := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, PublicFile)
	mustWrite(t, path, []byte("kernel"))
	if err := Sign(key, path, signTime); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writePublic(&b, key); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, public, b.Bytes())
	if err := Verify(public, path); err != nil {
		t.Error(err)
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vmlinuz.sig")
	for _, content := range []string{"a longer first content", "second"} {
		if err := replaceFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := mustRead(t, path); string(got) != content {
			t.Errorf("got %q", got)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
	if err := replaceFile(filepath.Join(dir, "gone/x"), nil, 0o644); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}
