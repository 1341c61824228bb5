package datasource

import (
	"context"
	"path/filepath"
)

// FirmwareDir is the directory of the kernel module qemu_fw_cfg.
const FirmwareDir = "/sys/firmware/qemu_fw_cfg"

// QEMU is user-data on the command line of QEMU:
//
//	-fw_cfg name=opt/com.coreos/cloud-config,file=cloud-config.yml
//
// The name opt/com.coreos/config is Ignition's. The directory is FirmwareDir, except in
// tests. The time to read a file grows with the square of its size: for more than about
// 100 KiB, a config drive is better.
// See https://www.qemu.org/docs/master/specs/fw_cfg.html.
func QEMU(dir string) Source {
	return source{"QEMU firmware configuration", func(ctx context.Context) (*Data, error) {
		text, err := readFile(ctx, filepath.Join(dir, "by_name/opt/com.coreos/cloud-config/raw"), MaxUserData)
		if err != nil {
			return nil, err
		}
		return &Data{UserData: text}, nil
	}}
}
