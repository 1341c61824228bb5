// Package platform tells what a machine runs on: a cloud, a hypervisor, or metal.
package platform

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"coreos/internal/host/keyvalue"
)

// ID names a platform as Ignition does, such as "aws" or "qemu".
// See https://coreos.github.io/ignition/supported-platforms/.
type ID string

// Platforms that are treated in a way of their own.
const (
	Metal ID = "metal" // nothing is known about the machine
	QEMU  ID = "qemu"
)

// Where the parts of a machine say what they are.
const (
	DMIDir     = "/sys/class/dmi/id"
	OEMRelease = "/oem/oem-release"
	// Record is where bootengine leaves the ID of a platform with metadata of its own,
	// which neither Metal nor QEMU has.
	Record = "/run/coreos/platform"
)

// oemIDs are the names of Container Linux for platforms that have another today.
var oemIDs = map[string]ID{"ec2": "aws", "ec2-compat": "aws", "gce": "gcp", "vagrant-virtualbox": "virtualbox", "pxe": Metal}

// ignitions are the platforms of Ignition 2.26.
var ignitions = []ID{
	"akamai", "aliyun", "applehv", "aws", "azure", "azurestack", "cloudstack", "digitalocean", "exoscale", "gcp", "hetzner", "hyperv",
	"ibmcloud", "kubevirt", Metal, "nutanix", "nvidiabluefield", "openstack", "oraclecloud", "packet", "powervs", "proxmoxve", QEMU,
	"scaleway", "upcloud", "virtualbox", "vmware", "vultr", "zvm",
}

// IsIgnitions tells whether Ignition can take a config from the platform.
func (id ID) IsIgnitions() bool { return slices.Contains(ignitions, id) }

// Detect tells the platform: what the kernel command line says (ignition.platform.id=ID,
// coreos.oem.id=ID), else what the file oemRelease says (ID=, as in os-release(5)), else
// what the firmware says in dmi.
func Detect(cmdline, oemRelease, dmi string) ID {
	for _, key := range []string{"ignition.platform.id", "coreos.oem.id"} {
		if id := argument(cmdline, key); id != "" {
			return named(id)
		}
	}
	if id := releaseID(oemRelease); id != "" {
		return named(id)
	}
	return firmware(dmi)
}

// argument returns the last value of a kernel argument.
func argument(cmdline, key string) (value string) {
	for arg := range strings.FieldsSeq(cmdline) {
		if name, v, ok := strings.Cut(arg, "="); ok && name == key {
			value = v
		}
	}
	return value
}

func named(id string) ID {
	if known, ok := oemIDs[id]; ok {
		return known
	}
	return ID(id)
}

func releaseID(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	lines, _ := keyvalue.Read(file, "#") // what is right in it counts
	for _, line := range lines {
		if line.Name == "ID" {
			return keyvalue.Unquote(line.Value)
		}
	}
	return ""
}

// signs are what the firmware of a platform's machines says: how a file of
// /sys/class/dmi/id begins. The first that is true counts: QEMU is below many clouds.
// Platforms where a machine without config would wait for one in vain are not here:
// kubevirt, nutanix, powervs, virtualbox.
var signs = []struct {
	file, begin string
	id          ID
}{
	{"sys_vendor", "Amazon EC2", "aws"},
	{"product_uuid", "ec2", "aws"}, // instances on Xen
	{"product_name", "Google Compute Engine", "gcp"},
	{"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "azure"},
	{"chassis_asset_tag", "OracleCloud.com", "oraclecloud"},
	{"chassis_asset_tag", "ibmcloud", "ibmcloud"},
	{"sys_vendor", "DigitalOcean", "digitalocean"},
	{"sys_vendor", "Hetzner", "hetzner"},
	{"sys_vendor", "Vultr", "vultr"},
	{"sys_vendor", "Scaleway", "scaleway"},
	{"sys_vendor", "UpCloud", "upcloud"},
	{"sys_vendor", "Exoscale", "exoscale"},
	{"sys_vendor", "Akamai", "akamai"},
	{"sys_vendor", "Linode", "akamai"},
	{"sys_vendor", "Packet", "packet"},
	{"sys_vendor", "VMware", "vmware"},
	{"sys_vendor", "CloudSigma", "cloudsigma"},
	{"product_name", "CloudSigma", "cloudsigma"},
	{"product_name", "Alibaba Cloud ECS", "aliyun"},
	{"product_name", "OpenStack", "openstack"},
	{"product_name", "CloudStack", "cloudstack"},
	{"sys_vendor", "QEMU", QEMU},
}

func firmware(dmi string) ID {
	for _, sign := range signs {
		text, err := os.ReadFile(filepath.Join(dmi, sign.file))
		if err == nil && hasPrefixFold(bytes.TrimSpace(text), sign.begin) {
			return sign.id
		}
	}
	return Metal
}

func hasPrefixFold(text []byte, begin string) bool {
	return len(text) >= len(begin) && bytes.EqualFold(text[:len(begin)], []byte(begin))
}
