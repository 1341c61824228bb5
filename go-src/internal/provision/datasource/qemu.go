package datasource

import (
	"context"
	"path/filepath"
)

// FirmwareDir is where the kernel shows what QEMU hands over, with the module qemu_fw_cfg.
const FirmwareDir = "/sys/firmware/qemu_fw_cfg"

// QEMU is user-data that QEMU was given on its command line:
//
//	-fw_cfg name=opt/com.coreos/cloud-config,file=cloud-config.yml
//
// The name beside it, opt/com.coreos/config, is Ignition's. The directory is FirmwareDir,
// except in tests. The time to read a file of it grows with the square of its size: with
// more than some 100 KiB, a config drive is better.
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
