package platform

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDetect(t *testing.T) {
	type dmi map[string]string
	tests := []struct {
		name, cmdline, oem string
		dmi                dmi
		want               ID
	}{
		{"nothing is known", "", "", nil, Metal},
		{"a server", "", "", dmi{"sys_vendor": "Dell Inc.\n", "product_name": "PowerEdge\n"}, Metal},
		{"the kernel command line counts most", "quiet ignition.platform.id=openstack", "ID=aws\n", dmi{"sys_vendor": "QEMU\n"}, "openstack"},
		{"the last argument counts", "ignition.platform.id=a ignition.platform.id=b", "", nil, "b"},
		{"an argument without value says nothing", "ignition.platform.id= coreos.oem.id", "", dmi{"sys_vendor": "QEMU\n"}, QEMU},
		{"a name of Container Linux", "coreos.oem.id=ec2", "", nil, "aws"},
		{"a file on the OEM partition with a line that is wrong", "", "nonsense\n ID='aws'\nID=gcp\n", nil, "aws"},
		{"then the OEM partition", "", "NAME=x\nID=\"gce\"\n", dmi{"sys_vendor": "QEMU\n"}, "gcp"},
		{"QEMU", "", "", dmi{"sys_vendor": "QEMU\n", "product_name": "Standard PC (Q35 + ICH9, 2009)\n"}, QEMU},
		{"a cloud on QEMU", "", "", dmi{"sys_vendor": "QEMU\n", "product_name": "Alibaba Cloud ECS\n"}, "aliyun"},
		{"OpenStack", "", "", dmi{"sys_vendor": "OpenStack Foundation\n", "product_name": "OpenStack Nova\n"}, "openstack"},
		{"EC2 on Xen", "", "", dmi{"sys_vendor": "Xen\n", "product_uuid": "EC2F58B1-0000\n"}, "aws"},
		{"Hyper-V is not Azure", "", "", dmi{"sys_vendor": "Microsoft Corporation\n"}, Metal},
		{"Azure", "", "", dmi{"sys_vendor": "Microsoft Corporation\n", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n"}, "azure"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			oem := filepath.Join(dir, "oem-release")
			files := map[string]string{}
			for name, text := range test.dmi {
				files[filepath.Join(dir, name)] = text
			}
			if test.oem != "" {
				files[oem] = test.oem
			}
			for path, text := range files {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := Detect(test.cmdline, oem, dir); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
