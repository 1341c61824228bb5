package datasource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ConfigDrive is the mounted directory of an OpenStack config drive: user_data,
// meta_data.json and network_data.json in openstack/latest, and the files that
// meta_data.json names. A drive with only ec2/latest, in the format of EC2's metadata
// server, is also accepted; addresses are always read from there, since openstack/latest
// has none. See https://docs.openstack.org/nova/latest/user/metadata.html#config-drives.
//
// A directory without these two is ErrAbsent. Symbolic links do not lead out of the drive.
func ConfigDrive(dir string) Source {
	return source{"config drive " + dir, func(ctx context.Context) (*Data, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, localError(err)
		}
		defer root.Close()
		return fetchConfigDrive(ctx, drive{root, dir})
	}}
}

// drive is a mounted config drive.
type drive struct {
	*os.Root
	dir string
}

func fetchConfigDrive(ctx context.Context, d drive) (*Data, error) {
	ec2, err := d.ec2(ctx)
	if err != nil {
		return nil, err
	}
	if info, err := d.Stat("openstack/latest"); err == nil && info.IsDir() {
		data, err := d.openstack(ctx)
		if err == nil && ec2 != nil {
			data.Metadata.PrivateIPv4 = ec2.Metadata.PrivateIPv4
			data.Metadata.PublicIPv4 = ec2.Metadata.PublicIPv4
			data.Metadata.Problems = append(data.Metadata.Problems, ec2.Metadata.Problems...)
		}
		return data, err
	}
	if ec2 == nil {
		return nil, fmt.Errorf("%w: neither openstack/latest nor ec2/latest is there", ErrAbsent)
	}
	return ec2, nil
}

// openstack reads openstack/latest. Each file may be missing, since people make drives by
// hand with only user_data.
func (d drive) openstack(ctx context.Context) (*Data, error) {
	data := &Data{Root: filepath.Join(d.dir, "openstack")}
	var err error
	if data.UserData, err = optionalIn(ctx, d.Root, "openstack/latest/user_data", MaxUserData); err != nil {
		return nil, err
	}
	text, err := optionalIn(ctx, d.Root, "openstack/latest/meta_data.json", maxDocument)
	if err != nil {
		return nil, err
	}
	m := &data.Metadata
	if len(text) != 0 {
		meta, err := parseOpenStack(text)
		data.Metadata = meta.Metadata
		if err != nil {
			m.leaveOut(fmt.Errorf("meta_data.json: %w", err))
		}
		if m.Network.Debian, err = d.content(ctx, meta.networkPath); err != nil && isFinal(err) {
			m.Network.fail("network_config of meta_data.json", err)
		} else if err != nil {
			return nil, err
		}
	}
	m.Network.OpenStack, err = optionalIn(ctx, d.Root, "openstack/latest/network_data.json", maxDocument)
	return data, err
}

// content reads a file that meta_data.json names, such as "/content/0000".
func (d drive) content(ctx context.Context, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readIn(ctx, d.Root, "openstack/"+strings.TrimPrefix(path, "/"), maxDocument)
	if errors.Is(err, ErrAbsent) {
		return nil, fmt.Errorf("%w: the drive has no file %.80q", ErrInvalid, path)
	}
	return text, err
}

// ec2 reads ec2/latest, which may be missing.
func (d drive) ec2(ctx context.Context) (*Data, error) {
	if info, err := d.Stat("ec2/latest"); err != nil || !info.IsDir() {
		return nil, nil
	}
	data := &Data{Root: filepath.Join(d.dir, "ec2")}
	var err error
	if data.UserData, err = optionalIn(ctx, d.Root, "ec2/latest/user-data", MaxUserData); err != nil {
		return nil, err
	}
	text, err := optionalIn(ctx, d.Root, "ec2/latest/meta-data.json", maxDocument)
	if err != nil || len(text) == 0 {
		return data, err
	}
	if data.Metadata, err = parseEC2Document(text); err != nil {
		data.Metadata.leaveOut(fmt.Errorf("ec2/latest/meta-data.json: %w", err))
	}
	return data, nil
}
