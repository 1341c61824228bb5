package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"coreos/internal/boot/verity"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
)

// writeContents writes hash trees and payloads of both contents to a directory, and describes them in the
// manifest.
func writeContents(ctx context.Context, dir string, m *release.Manifest, boot, usr io.ReadSeeker) (err error) {
	if m.Boot, err = writeContent(ctx, dir, release.Boot, boot); err != nil {
		return err
	}
	m.Usr, err = writeContent(ctx, dir, release.Usr, usr)
	return err
}

// checkUsr checks that the superblock and the hash tree of the root follow the data of the
// image, and nothing else.
func checkUsr(usr *os.File, root verity.Root) error {
	stat, err := usr.Stat()
	if err != nil {
		return err
	}
	if want := root.TreeOffset() + root.TreeSize(); stat.Size() != want {
		return fmt.Errorf("it has %d bytes, but the boot image belongs to one with %d", stat.Size(), want)
	}
	if _, err := root.ReadTreeBehind(usr); err != nil {
		return err
	}
	superblock := make([]byte, verity.BlockSize)
	if _, err := usr.ReadAt(superblock, root.TreeOffset()-verity.BlockSize); err != nil {
		return err
	}
	if !bytes.Equal(superblock, root.Superblock()) {
		return errors.New("its superblock is not valid")
	}
	return nil
}

// wholeBlocks reads a boot image and pads its last block with zeros, which also end a tar
// archive.
func wholeBlocks(boot *os.File) ([]byte, error) {
	if _, err := boot.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(boot)
	return append(data, make([]byte, -len(data)&(verity.BlockSize-1))...), err
}

// writeContent writes the files of a content and returns its description.
func writeContent(ctx context.Context, dir, name string, data io.ReadSeeker) (release.Content, error) {
	tree, err := verity.NewTree(data)
	if err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", name, err)
	}
	c := release.Content{RootHash: hex.EncodeToString(tree.Hash[:]), Blocks: tree.Blocks}
	c.Tree, err = writeHashed(filepath.Join(dir, release.TreeFile(name)), func(w io.Writer) error {
		_, err := w.Write(tree.Bytes())
		return err
	})
	if err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", release.TreeFile(name), err)
	}
	if _, err := data.Seek(0, io.SeekStart); err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", name, err)
	}
	c.Payload, err = writeHashed(filepath.Join(dir, release.PayloadFile(name)), func(w io.Writer) error {
		return payload.Write(ctx, w, data, runtime.NumCPU())
	})
	if err != nil {
		return release.Content{}, fmt.Errorf("add a release: %s: %w", release.PayloadFile(name), err)
	}
	return c, nil
}

// writeWhole writes the whole stream of a content.
func writeWhole(ctx context.Context, dir, name string, data *io.SectionReader, packing Packing) (*release.File, error) {
	file, err := writeHashed(filepath.Join(dir, release.WholeFile(name)), func(w io.Writer) error {
		return payload.WriteWhole(ctx, w, data, uint64(data.Size()/verity.BlockSize), packing.Effort, func(done int64) {
			if packing.Progress != nil {
				packing.Progress(done, data.Size())
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("add a release: %s: %w", release.WholeFile(name), err)
	}
	return &file, nil
}

// writeHashed writes a file durably and returns its size and hash.
func writeHashed(path string, write func(io.Writer) error) (release.File, error) {
	file, err := os.Create(path)
	if err != nil {
		return release.File{}, err
	}
	defer file.Close()
	hash := sha256.New()
	if err := write(io.MultiWriter(file, hash)); err != nil {
		return release.File{}, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return release.File{}, err
	}
	return release.File{Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))}, file.Sync()
}
