package bootkey

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
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

// oldPacket takes one packet with a header of the old format with a length of two
// octets, which must be all of b.
func oldPacket(t *testing.T, b []byte, tag byte) []byte {
	t.Helper()
	if len(b) < 3 || b[0] != 0x80|tag<<2|1 || int(binary.BigEndian.Uint16(b[1:])) != len(b)-3 {
		t.Fatalf("%d bytes starting with %x are not one old-format packet with tag %d", len(b), b[:min(len(b), 3)], tag)
	}
	return b[3:]
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

// TestSignature checks what GRUB's grub_verify_signature reads.
func TestSignature(t *testing.T) {
	path := signed(t, "kernel", signTime)
	body := oldPacket(t, mustRead(t, path+".sig"), 2)
	const version, binaryDocument, rsaAlgorithm, sha256 = 4, 0, 1, 8
	if !bytes.Equal(body[:4], []byte{version, binaryDocument, rsaAlgorithm, sha256}) {
		t.Errorf("signature packet starts with %x", body[:4])
	}
	hashed := int(binary.BigEndian.Uint16(body[4:]))
	unhashed := body[6+hashed:]
	key, err := Load(keyDir(t))
	if err != nil {
		t.Fatal(err)
	}
	want := binary.BigEndian.AppendUint64([]byte{0, 10, 9, 16}, key.PrimaryKey.KeyId)
	if !bytes.Equal(unhashed[:12], want) {
		t.Errorf("the unhashed area is %x, want the issuer, %x", unhashed[:12], want)
	}
	if bits := binary.BigEndian.Uint16(unhashed[14:]); bits > rsaBits || bits < rsaBits-64 || len(unhashed) != 16+(int(bits)+7)/8 {
		t.Errorf("a number of %d bits in %d bytes follows", bits, len(unhashed)-16)
	}
}

func TestSignaturesAreReproducible(t *testing.T) {
	read := func(content string, when time.Time) []byte { return mustRead(t, signed(t, content, when)+".sig") }
	first := read("kernel", signTime)
	if !bytes.Equal(first, read("kernel", signTime)) {
		t.Error("the same file at the same time has another signature")
	}
	if bytes.Equal(first, read("kernel", signTime.Add(time.Second))) {
		t.Error("a second later the signature is the same")
	}
	if bytes.Equal(first, read("kernel2", signTime)) {
		t.Error("another file has the same signature")
	}
}

func TestVerify(t *testing.T) {
	public := filepath.Join(keyDir(t), PublicFile)
	for _, content := range []string{"", "kernel", "line\r\nline\n", strings.Repeat("x", 1<<20)} {
		if err := Verify(public, signed(t, content, signTime)); err != nil {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
}

func TestVerifyFindsFlippedBytes(t *testing.T) {
	public := filepath.Join(keyDir(t), PublicFile)
	path := signed(t, "kernel", signTime)
	flip := func(path string, at int) {
		b := mustRead(t, path)
		b[at] ^= 1
		mustWrite(t, path, b)
	}
	for at := range "kernel" {
		flip(path, at)
		if err := Verify(public, path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d of the file flipped: got error %v", at, err)
		}
		flip(path, at)
	}
	signature := path + ".sig"
	b := mustRead(t, signature)
	unhashed := 3 + 6 + int(binary.BigEndian.Uint16(b[3+4:]))
	for at := range b {
		switch {
		case at == 1 || at == 2, at >= unhashed && at < unhashed+16:
			continue // not signed: lengths, the unhashed area, the first bytes of the hash
		case at > unhashed+40 && at%16 != 0:
			continue // of the number some bytes are enough
		}
		flip(signature, at)
		if err := Verify(public, path); err == nil {
			t.Errorf("byte %d of the signature flipped: it is still good", at)
		}
		flip(signature, at)
	}
	if err := Verify(public, path); err != nil {
		t.Errorf("all bytes as before: %v", err)
	}
}

func TestVerifyErrors(t *testing.T) {
	public := filepath.Join(keyDir(t), PublicFile)
	other := filepath.Join(t.TempDir(), PublicFile)
	var b bytes.Buffer
	if err := writePublic(&b, newEntity(t, packet.PubKeyAlgoRSA)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, other, b.Bytes())
	empty := filepath.Join(t.TempDir(), "empty")
	mustWrite(t, empty, nil)
	path := signed(t, "kernel", signTime)
	unsigned := filepath.Join(t.TempDir(), "initramfs")
	mustWrite(t, unsigned, []byte("x"))
	wrongKind := filepath.Join(t.TempDir(), "slot.cfg")
	mustWrite(t, wrongKind, []byte("x"))
	mustWrite(t, wrongKind+".sig", mustRead(t, public))
	cutOff := filepath.Join(t.TempDir(), "vmlinuz")
	mustWrite(t, cutOff, []byte("kernel"))
	mustWrite(t, cutOff+".sig", mustRead(t, path+".sig")[:200])

	tests := []struct{ name, public, path, want string }{
		{"other key", other, path, path},
		{"empty public key", empty, path, "public key " + empty},
		{"a signature as the key", path + ".sig", path, "not an OpenPGP public key"},
		{"no public key", filepath.Join(t.TempDir(), PublicFile), path, "no such file"},
		{"no signature", public, unsigned, unsigned + ".sig"},
		{"no file", public, filepath.Join(t.TempDir(), "gone"), "no such file"},
		{"a key as the signature", public, wrongKind, "not an OpenPGP signature"},
		{"signature cut off", public, cutOff, cutOff},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := Verify(test.public, test.path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestGnuPGVerifies has the signature checked by another implementation.
func TestGnuPGVerifies(t *testing.T) {
	gpgv, err := exec.LookPath("gpgv")
	if err != nil {
		t.Skip("gpgv is not installed")
	}
	key, err := Load(keyDir(t))
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer // with the user id, which GnuPG wants and GRUB does not
	if err := key.Serialize(&public); err != nil {
		t.Fatal(err)
	}
	keyring := filepath.Join(t.TempDir(), "keyring")
	mustWrite(t, keyring, public.Bytes())
	path := signed(t, "kernel", signTime)
	verify := func() (string, error) {
		out, err := exec.Command(gpgv, "--homedir", t.TempDir(), "--keyring", keyring, path+".sig", path).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(); err != nil || !strings.Contains(out, "Good signature") {
		t.Errorf("gpgv: %v\n%s", err, out)
	}
	mustWrite(t, path, []byte("Kernel"))
	if out, err := verify(); err == nil || !strings.Contains(out, "BAD signature") {
		t.Errorf("gpgv takes another file: %v\n%s", err, out)
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

func TestSignErrors(t *testing.T) {
	entity := newEntity(t, packet.PubKeyAlgoRSA)
	path := filepath.Join(t.TempDir(), "vmlinuz")
	if err := Sign(entity, path, signTime); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	mustWrite(t, path, []byte("kernel"))
	entity.PrivateKey = nil
	if err := Sign(entity, path, signTime); err == nil || !strings.Contains(err.Error(), "sign "+path) {
		t.Errorf("no private key: %v", err)
	}
	if _, err := os.Stat(path + ".sig"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a signature was left: %v", err)
	}
}

func TestAddIssuerErrors(t *testing.T) {
	tests := map[string][]byte{
		"nothing":                nil,
		"too short":              {0x88, 5, 4, 0, 1, 8, 0},
		"hashed area too long":   {0x88, 8, 4, 0, 1, 8, 0xff, 0xff, 0, 0},
		"unhashed area is used":  {0x88, 9, 4, 0, 1, 8, 0, 0, 0, 1, 0},
		"header without content": {0x88, 200, 4},
	}
	for name, b := range tests {
		if err := addIssuer(bytes.NewBuffer(b), 1); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestReframe(t *testing.T) {
	newFormat := func(tag byte, length []byte, content []byte) []byte {
		return append(append([]byte{0xc0 | tag}, length...), content...)
	}
	content := bytes.Repeat([]byte("x"), 300)
	var b bytes.Buffer
	if err := reframe(&b, bytes.NewReader(newFormat(2, []byte{192, 108}, content))); err != nil {
		t.Fatal(err)
	}
	if got := oldPacket(t, b.Bytes(), 2); !bytes.Equal(got, content) {
		t.Errorf("got %q", got)
	}
	for name, packet := range map[string][]byte{
		"too long": newFormat(2, []byte{255, 0, 1, 0, 0}, make([]byte, 1<<16)),
		"new tag":  newFormat(17, []byte{1}, []byte("x")),
		"cut off":  newFormat(2, []byte{192, 108}, content[:100]),
	} {
		if err := reframe(&b, bytes.NewReader(packet)); err == nil {
			t.Errorf("%s: was taken", name)
		}
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

func FuzzVerifySignature(f *testing.F) {
	entity, err := openpgp.NewEntity("Small", "", "", &packet.Config{RSABits: 2048, Time: func() time.Time { return created }})
	if err != nil {
		f.Fatal(err)
	}
	var signature bytes.Buffer
	if err := openpgp.DetachSign(&signature, entity, strings.NewReader("kernel"), config(signTime)); err != nil {
		f.Fatal(err)
	}
	f.Add(signature.Bytes())
	f.Add([]byte{0x88, 5, 4, 0, 1, 8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := checkSignature(entity.PrimaryKey, strings.NewReader("Kernel"), bytes.NewReader(b)); err == nil {
			t.Errorf("%x is a signature", b)
		}
		_ = addIssuer(bytes.NewBuffer(bytes.Clone(b)), 1)
	})
}
