// Package platform detects what the machine runs on: a cloud, a hypervisor, or bare metal.
package platform

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"coreos/internal/host/keyvalue"
)

// ID is the name of a platform in Ignition, such as "aws" or "qemu". See
// https://coreos.github.io/ignition/supported-platforms/.
type ID string

// Platforms with special treatment.
const (
	Metal ID = "metal" // nothing is known about the machine
	QEMU  ID = "qemu"
)

// Files that identify the platform.
const (
	DMIDir     = "/sys/class/dmi/id"
	OEMRelease = "/oem/oem-release"
	// Record is the file in which bootengine records the platform, if that has metadata of
	// its own. Metal and QEMU have none.
	Record = "/run/coreos/platform"
)

// oemIDs maps the names of Container Linux to the names of today.
var oemIDs = map[string]ID{"ec2": "aws", "ec2-compat": "aws", "gce": "gcp", "vagrant-virtualbox": "virtualbox", "pxe": Metal}

// ignitions are the platforms that Ignition 2.26 supports.
var ignitions = []ID{
	"akamai", "aliyun", "applehv", "aws", "azure", "azurestack", "cloudstack", "digitalocean", "exoscale", "gcp", "hetzner", "hyperv",
	"ibmcloud", "kubevirt", Metal, "nutanix", "nvidiabluefield", "openstack", "oraclecloud", "packet", "powervs", "proxmoxve", QEMU,
	"scaleway", "upcloud", "virtualbox", "vmware", "vultr", "zvm",
}

// IsIgnitions reports whether Ignition supports the platform.
func (id ID) IsIgnitions() bool { return slices.Contains(ignitions, id) }

// Detect returns the platform: the one on the kernel command line (ignition.platform.id=ID,
// coreos.oem.id=ID), else the one in the file oemRelease (ID=, as in os-release(5)), else
// the one that the firmware in dmi shows.
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
	lines, _ := keyvalue.Read(file, "#") // lines that are not valid are ignored
	for _, line := range lines {
		if line.Name == "ID" {
			return keyvalue.Unquote(line.Value)
		}
	}
	return ""
}

// signs are the prefixes of files in /sys/class/dmi/id by which platforms are detected. The
// first match counts, since many clouds run QEMU. The list lacks kubevirt, nutanix, powervs
// and virtualbox: there a machine without a config would wait for one in vain.
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
