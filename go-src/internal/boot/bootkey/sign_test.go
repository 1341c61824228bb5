package bootkey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

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
