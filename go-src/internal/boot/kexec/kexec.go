// Package kexec loads the kernel of a slot's boot image for a restart by kexec. As GRUB, it
// loads only files with good signatures.
package kexec

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"coreos/internal/boot/bootimage"
	"coreos/internal/boot/slot"
)

// Size limits of the members of a boot image, in bytes.
const (
	maxMember    = 256 << 20
	maxSignature = 64 << 10
	maxSums      = 4 << 10
)

// ErrLocked says that the machine does not permit kexec.
var ErrLocked = errors.New("kexec is switched off on this machine (sysctl kernel.kexec_load_disabled), " +
	"or the running kernel, in lockdown, refuses the signature of the next one")

// Verify checks a detached signature.
type Verify func(file, signature io.Reader) error

// Image is a boot image that was read and verified. Close frees its memory.
type Image struct {
	Info              bootimage.Info
	kernel, initramfs *os.File
	sums              []byte
	hashes            map[string][sha256.Size]byte
}

// Close frees the memory.
func (i *Image) Close() {
	for _, file := range []*os.File{i.kernel, i.initramfs} {
		if file != nil {
			_ = file.Close()
		}
	}
}

// Read reads a boot image into memory files and verifies all members.
func Read(image io.Reader, verify Verify) (*Image, error) {
	read := &Image{hashes: map[string][sha256.Size]byte{}}
	signatures := map[string][]byte{}
	err := bootimage.Walk(image, func(name string, size int64, content io.Reader) error {
		if of, ok := strings.CutSuffix(name, ".sig"); ok {
			if size > maxSignature {
				return fmt.Errorf("%d bytes are too many", size)
			}
			signature, err := io.ReadAll(content)
			signatures[of] = signature
			return err
		}
		return read.take(name, size, content, func(file io.Reader) error {
			return verify(file, bytes.NewReader(signatures[name]))
		})
	})
	if err == nil && (read.kernel == nil || read.initramfs == nil || read.Info.Cmdline == "") {
		err = errors.New("boot image: kernel, initramfs or slot.cfg is missing")
	}
	if err == nil && read.Info.Bound {
		err = bootimage.CheckSums(read.sums, read.hashes)
	}
	if err != nil {
		read.Close()
		return nil, err
	}
	return read, nil
}

// take reads one member and verifies its signature, which precedes it in the archive.
func (i *Image) take(name string, size int64, content io.Reader, verify func(io.Reader) error) error {
	if size > maxMember {
		return fmt.Errorf("%d bytes are too many", size)
	}
	if _, twice := i.hashes[name]; twice {
		return errors.New("the archive has it twice")
	}
	hash := sha256.New()
	file, err := memory(name, io.TeeReader(content, hash))
	if err != nil {
		return err
	}
	i.hashes[name] = [sha256.Size]byte(hash.Sum(nil))
	if err := verify(file); err != nil {
		return errors.Join(err, file.Close())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return errors.Join(err, file.Close())
	}
	switch name {
	case bootimage.Kernel:
		i.kernel = file
		return nil
	case bootimage.Initramfs:
		i.initramfs = file
		return nil
	case bootimage.Config:
		i.Info, err = bootimage.ReadConfig(file, size)
	case bootimage.Sums:
		i.sums, err = io.ReadAll(io.LimitReader(file, maxSums))
	}
	return errors.Join(err, file.Close())
}

// memory makes a memory file that is open for reading only, as the kernel requires.
func memory(name string, content io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	writable := os.NewFile(uintptr(fd), name)
	defer func() { _ = writable.Close() }()
	if _, err := io.Copy(writable, content); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// Load loads the image, for the next kexec to start.
func (i *Image) Load(cmdline string) error {
	err := unix.KexecFileLoad(int(i.kernel.Fd()), int(i.initramfs.Fd()), cmdline, 0)
	switch {
	case errors.Is(err, unix.EPERM):
		return ErrLocked
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYREJECTED):
		return fmt.Errorf("kexec: the running kernel refuses the signature of the next one: %w", err)
	case err != nil:
		return fmt.Errorf("kexec: load the kernel: %w", err)
	}
	return nil
}

// Cmdline returns the command line with which GRUB would boot the slot. running is the
// command line of the running system: its end, after the name of the slot, comes from the
// hypervisor or from the menu of GRUB.
func Cmdline(info bootimage.Info, name slot.Name, running string) string {
	line := info.Cmdline + " coreos.slot=" + string(name)
	words := strings.Fields(running)
	for n, word := range words {
		if strings.HasPrefix(word, "coreos.slot=") {
			return strings.Join(append([]string{line}, words[n+1:]...), " ")
		}
	}
	return line
}
