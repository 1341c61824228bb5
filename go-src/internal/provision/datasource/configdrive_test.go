package datasource

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coreos/internal/host/treetest"
)

const (
	driveUser = "openstack/latest/user_data"
	driveMeta = "openstack/latest/meta_data.json"
)

func TestConfigDrive(t *testing.T) {
	tests := map[string]struct {
		files   map[string]string
		want    *Data
		root    string
		wantErr error
	}{
		"all": {
			map[string]string{
				driveUser: config, driveMeta: openstackDocument, "openstack/content/0000": interfacesText,
				"openstack/latest/network_data.json": networkDocument,
				"ec2/latest/meta-data.json":          ec2Document, "ec2/latest/user-data": "of EC2",
			},
			&Data{UserData: []byte(config), Metadata: Metadata{
				Instance: openstackInstance, Hostname: "one.novalocal", SSHKeys: openstackKeys(), PrivateIPv4: address("10.0.0.12"),
				Network: Network{Debian: []byte(interfacesText), OpenStack: []byte(networkDocument)},
			}}, "openstack", nil,
		},
		"by hand": {map[string]string{driveUser: config}, &Data{UserData: []byte(config)}, "openstack", nil},
		"of EC2": {
			map[string]string{"ec2/latest/user-data": config, "ec2/latest/meta-data.json": ec2Document},
			&Data{UserData: []byte(config), Metadata: Metadata{
				Instance: "i-1", Hostname: "one.novalocal", SSHKeys: []string{"ssh-rsa AAAA work"}, PrivateIPv4: address("10.0.0.12"),
			}}, "ec2", nil,
		},
		"another drive": {map[string]string{"autorun.inf": ""}, nil, "", ErrAbsent},
		"too large":     {map[string]string{driveUser: strings.Repeat("#", MaxUserData+1)}, nil, "", ErrTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := treetest.Dir(t, test.files)
			if test.want != nil {
				test.want.Root = filepath.Join(dir, test.root)
			}
			check(t, ConfigDrive(dir), test.want, test.wantErr)
		})
	}
	check(t, ConfigDrive(filepath.Join(t.TempDir(), "none")), nil, ErrAbsent)
}

// TestHostileDrive has links, a directory and a pipe in the place of user-data.
func TestHostileDrive(t *testing.T) {
	tests := map[string]func(path string) error{
		"a link that leads out": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a link by parents":     func(path string) error { return os.Symlink("../../../../../../etc/passwd", path) },
		"a link to itself":      func(path string) error { return os.Symlink("user_data", path) },
		"a directory":           func(path string) error { return os.Mkdir(path, 0o755) },
	}
	for name, place := range tests {
		dir := treetest.Dir(t, map[string]string{driveMeta: "{}"})
		if err := place(filepath.Join(dir, driveUser)); err != nil {
			t.Fatal(err)
		}
		if got, err := ConfigDrive(dir).Fetch(t.Context()); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	dir := treetest.Dir(t, map[string]string{driveMeta: "{}"})
	if err := syscall.Mkfifo(filepath.Join(dir, driveUser), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := ConfigDrive(dir).Fetch(ctx); ctx.Err() != nil {
		t.Errorf("a pipe without a writer holds: %v", err)
	}
}
