package machine

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Disk is a temporary disk: a qcow2 overlay over an image, which does not change.
type Disk struct {
	Path string
	raw  bool // an image itself, to read only
}

// NewDisk makes the disk name.qcow2 in dir over image, of size bytes, or of the
// image's size where that is 0.
func NewDisk(dir, name, image string, size int64) (*Disk, error) {
	format, err := imageFormat(image)
	if err != nil {
		return nil, err
	}
	d := &Disk{Path: filepath.Join(dir, name+".qcow2")}
	args := []string{"create", "-q", "-f", "qcow2", "-F", format, "-b", image, d.Path}
	if size != 0 {
		args = append(args, strconv.FormatInt(size, 10))
	}
	return d, tool("qemu-img", args...)
}

func imageFormat(image string) (string, error) {
	file, err := os.Open(image)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(file, magic); err != nil {
		return "", err
	}
	if string(magic) == "QFI\xfb" {
		return "qcow2", nil
	}
	return "raw", nil
}

// Copy makes an independent copy of the disk, saved states included.
func (d *Disk) Copy(dir, name string) (*Disk, error) {
	c := &Disk{Path: filepath.Join(dir, name+".qcow2")}
	return c, tool("cp", "--sparse=always", "--reflink=auto", d.Path, c.Path)
}

// Enlarge makes the disk larger; the machine must be off.
func (d *Disk) Enlarge(size int64) error {
	return tool("qemu-img", "resize", "-q", "-f", "qcow2", d.Path, strconv.FormatInt(size, 10))
}

// scratch is a directory for copies of parts of the disk: the directory of the disk, or,
// for an image, the one for temporary files.
func (d *Disk) scratch() string {
	if d.raw {
		return ""
	}
	return filepath.Dir(d.Path)
}

// Read returns n bytes of the disk; the machine must be off.
func (d *Disk) Read(offset, n int64) ([]byte, error) {
	format := "qcow2"
	if d.raw {
		format = "raw"
	}
	// Larger blocks are faster, but the offset is a number of blocks.
	block := int64(1 << 20)
	for offset%block != 0 && block > 512 {
		block /= 2
	}
	first, last := offset/block, (offset+n+block-1)/block
	out, err := os.CreateTemp(d.scratch(), "read")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(out.Name()) }()
	if err := out.Close(); err != nil {
		return nil, err
	}
	if err := tool("qemu-img", "dd", "-f", format, "-O", "raw", "if="+d.Path, "of="+out.Name(),
		fmt.Sprintf("bs=%d", block), fmt.Sprintf("skip=%d", first), fmt.Sprintf("count=%d", last)); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(out.Name())
	if err != nil {
		return nil, err
	}
	at := offset - first*block
	if int64(len(data)) < at+n {
		return nil, fmt.Errorf("read %d bytes at %d of %s: the disk ends before", n, offset, d.Path)
	}
	return data[at : at+n], nil
}

// Write replaces bytes of the disk; the machine must be off.
func (d *Disk) Write(offset int64, data []byte) error {
	file, err := os.CreateTemp(d.scratch(), "write")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return d.WriteFile(offset, file.Name())
}

// WriteFile puts a file's bytes at an offset of the disk.
func (d *Disk) WriteFile(offset int64, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return tool("qemu-io", "-f", "qcow2", "-c", fmt.Sprintf("write -s %s %d %d", path, offset, info.Size()), d.Path)
}

// Zero overwrites n bytes with zeros.
func (d *Disk) Zero(offset, n int64) error {
	return tool("qemu-io", "-f", "qcow2", "-c", fmt.Sprintf("write -z %d %d", offset, n), d.Path)
}

// Flip changes one bit of the byte at the offset.
func (d *Disk) Flip(offset int64) error {
	data, err := d.Read(offset, 1)
	if err != nil {
		return err
	}
	return d.Write(offset, []byte{data[0] ^ 1})
}

func tool(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
