package kexec

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/slot"
)

const config = "set slot_version=\"1.2.3\"\nset slot_cmdline=\"quiet usrhash=abc\"\n"

// image makes an archive of pairs of names and contents.
func image(t *testing.T, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for n := 0; n < len(members); n += 2 {
		header := &tar.Header{Name: members[n], Mode: 0o644, Size: int64(len(members[n+1])), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, members[n+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var errSignature = errors.New("bad signature")

// signed takes "signed " and the content for a signature.
func signed(file, signature io.Reader) error {
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(signature)
	if err != nil {
		return err
	}
	if string(got) != "signed "+string(content) {
		return errSignature
	}
	return nil
}

func TestRead(t *testing.T) {
	kernel, initramfs := strings.Repeat("kernel", 1000), strings.Repeat("initramfs", 1000)
	good := image(t, "slot.cfg.sig", "signed "+config, "slot.cfg", config, "vmlinuz.sig", "signed "+kernel, "vmlinuz", kernel,
		"initramfs.sig", "signed "+initramfs, "initramfs", initramfs)
	read, err := Read(io.MultiReader(bytes.NewReader(good), bytes.NewReader(make([]byte, 1<<20))), signed)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	for file, want := range map[*os.File]string{read.kernel: kernel, read.initramfs: initramfs} {
		if got, err := io.ReadAll(file); err != nil || string(got) != want {
			t.Errorf("%s: got %d bytes, %v", file.Name(), len(got), err)
		}
	}
	if read.Info.Version != "1.2.3" {
		t.Errorf("got %+v", read.Info)
	}
}

// sig is a member with its signature.
func sig(name, content string) []string {
	return []string{name + ".sig", "signed " + content, name, content}
}

// sums are those of a release.
func sums(config, kernel, initramfs string) string {
	text := ""
	for _, member := range [][2]string{{config, bootimage.Config}, {kernel, bootimage.Kernel}, {initramfs, bootimage.Initramfs}} {
		text += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(member[0])), member[1])
	}
	return text
}

// TestReadMixed mixes the files of two releases, each with good signatures.
func TestReadMixed(t *testing.T) {
	const bound = config + "set slot_sums=\"1\"\n"
	newer := map[string]string{
		bootimage.Config: bound, bootimage.Kernel: "new kernel", bootimage.Initramfs: "new initramfs",
		bootimage.Sums: sums(bound, "new kernel", "new initramfs"),
	}
	older := map[string]string{
		bootimage.Config: bound + "#\n", bootimage.Kernel: "old kernel", bootimage.Initramfs: "old initramfs",
		bootimage.Sums: sums(bound+"#\n", "old kernel", "old initramfs"),
	}
	names := []string{bootimage.Config, bootimage.Sums, bootimage.Kernel, bootimage.Initramfs}
	for mix := range 1 << len(names) {
		var members []string
		for bit, name := range names {
			from := newer
			if mix>>bit&1 == 1 {
				from = older
			}
			members = append(members, sig(name, from[name])...)
		}
		read, err := Read(bytes.NewReader(image(t, members...)), signed)
		if whole := mix == 0 || mix == 1<<len(names)-1; whole != (err == nil) || !whole && !errors.Is(err, bootimage.ErrMixed) {
			t.Errorf("mixture %04b: %v", mix, err)
		}
		if err == nil {
			read.Close()
		}
	}
	without := image(t, slices.Concat(sig(bootimage.Config, bound), sig(bootimage.Kernel, "new kernel"), sig(bootimage.Initramfs, "new initramfs"))...)
	if _, err := Read(bytes.NewReader(without), signed); !errors.Is(err, bootimage.ErrMixed) {
		t.Errorf("without %s: %v", bootimage.Sums, err)
	}
}

func TestReadRefuses(t *testing.T) {
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	cfg, vmlinuz, initramfs := sig("slot.cfg", config), sig("vmlinuz", "k"), sig("initramfs", "i")
	for name, members := range map[string][]string{
		"empty":                  nil,
		"no initramfs":           join(cfg, vmlinuz),
		"no kernel":              join(cfg, initramfs),
		"no slot.cfg":            join(vmlinuz, initramfs),
		"no signature":           join(cfg, []string{"vmlinuz", "k"}, initramfs),
		"signature of another":   join(cfg, []string{"vmlinuz.sig", "signed x", "vmlinuz", "k"}, initramfs),
		"signature comes late":   join(cfg, []string{"vmlinuz", "k", "vmlinuz.sig", "signed k"}, initramfs),
		"an unsigned stranger":   join(cfg, vmlinuz, initramfs, []string{"stranger", "x"}),
		"signature without end":  join([]string{"vmlinuz.sig", strings.Repeat("x", maxSignature+1)}, cfg, vmlinuz, initramfs),
		"two kernels":            join(cfg, vmlinuz, sig("vmlinuz", "another"), initramfs),
		"two slot.cfg":           join(cfg, sig("slot.cfg", config+"#"), vmlinuz, initramfs),
		"slot.cfg without lines": join(sig("slot.cfg", "set a=b\n"), vmlinuz, initramfs),
	} {
		t.Run(name, func(t *testing.T) {
			if read, err := Read(bytes.NewReader(image(t, members...)), signed); err == nil {
				t.Errorf("taken: %+v", read)
			}
		})
	}
}

// TestReadNamesWhatIsNotSigned checks that the error names the file without a signature.
// Its reader of the signature only meets the end of a file.
func TestReadNamesWhatIsNotSigned(t *testing.T) {
	members := image(t, "slot.cfg", config, "vmlinuz", "k", "initramfs", "i")
	_, err := Read(bytes.NewReader(members), func(_, signature io.Reader) error {
		_, err := signature.Read(make([]byte, 1))
		return err
	})
	if !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "slot.cfg") {
		t.Errorf("error %v", err)
	}
}

func TestCmdline(t *testing.T) {
	info := bootimage.Info{Cmdline: "quiet usrhash=abc"}
	for running, want := range map[string]string{
		"BOOT_IMAGE=/x quiet usrhash=old coreos.slot=A":             "quiet usrhash=abc coreos.slot=B",
		"quiet usrhash=old coreos.slot=A ignition=1 systemd.unit=x": "quiet usrhash=abc coreos.slot=B ignition=1 systemd.unit=x",
		"something else": "quiet usrhash=abc coreos.slot=B",
	} {
		if got := Cmdline(info, slot.B, running); got != want {
			t.Errorf("%q: got %q", running, got)
		}
	}
}
