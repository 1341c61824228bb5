package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"coreos/internal/cli/exit"
	"coreos/internal/host/platform"
	"coreos/internal/provision/configdrive"
	"coreos/internal/provision/datasource"
	"coreos/internal/provision/netconf"
)

// flags are those of upstream v1.14.0, and some for sources that upstream does not have.
type flags struct {
	file, configDrive, waagent, ec2, gce, digitalOcean, packet, openStack, azure, url, ovfEnv string

	metadataService, cloudSigma, procCmdline, vmware, qemu, smbios bool

	oem, workspace, sshKeyName, convertNetconf string

	validate, kind, ignoreFailure bool
}

func (f *flags) register(set *pflag.FlagSet) {
	set.StringVar(&f.file, "from-file", "", "the user-data is in `FILE`")
	set.StringVar(&f.configDrive, "from-configdrive", "", "a config drive is mounted at `DIR`")
	set.StringVar(&f.waagent, "from-waagent", "", "Azure's agent has written its data to `DIR`")
	set.StringVar(&f.ec2, "from-ec2-metadata", "", "ask the metadata service of EC2 at `URL`")
	set.BoolVar(&f.metadataService, "from-metadata-service", false, "ask the metadata service of EC2 at its usual address")
	set.StringVar(&f.openStack, "from-openstack-metadata", "", "ask the metadata service of OpenStack at `URL`")
	set.StringVar(&f.gce, "from-gce-metadata", "", "ask the metadata service of Google Compute Engine at `URL`")
	set.StringVar(&f.azure, "from-azure-metadata", "", "ask the metadata service of Azure at `URL`")
	set.StringVar(&f.digitalOcean, "from-digitalocean-metadata", "", "ask the metadata service of DigitalOcean at `URL`")
	set.StringVar(&f.packet, "from-packet-metadata", "", "ask the metadata service of Packet at `URL`")
	set.BoolVar(&f.cloudSigma, "from-cloudsigma-metadata", false, "ask CloudSigma's server context")
	set.StringVar(&f.url, "from-url", "", "the user-data is at `URL`")
	set.BoolVar(&f.procCmdline, "from-proc-cmdline", false, "the user-data is at cloud-config-url=URL of the kernel command line")
	set.BoolVar(&f.vmware, "from-vmware-guestinfo", false, "ask VMware's hypervisor")
	set.StringVar(&f.ovfEnv, "from-vmware-ovf-env", "", "the OVF environment is in `FILE`")
	set.BoolVar(&f.qemu, "from-qemu", false, "read opt/com.coreos/cloud-config from QEMU")
	set.BoolVar(&f.smbios, "from-smbios", false, "read the OEM string com.coreos.cloud-config=BASE64 of the firmware")
	set.StringVar(&f.oem, "oem", "", "use the sources of the platform `NAME`: auto, "+strings.Join(slices.Sorted(maps.Keys(platforms)), ", "))
	set.StringVar(&f.workspace, "workspace", "/var/lib/coreos-cloudinit", "`DIR` for scripts")
	set.StringVar(&f.sshKeyName, "ssh-key-name", "coreos-cloudinit", "`NAME` of the file in .ssh/authorized_keys.d for the keys")
	set.StringVar(&f.convertNetconf, "convert-netconf", "", "apply the network in the metadata, which has the `FORMAT` "+netconf.Names())
	set.BoolVar(&f.validate, "validate", false, "check the user-data, and apply nothing")
	set.BoolVar(&f.kind, "kind", false, "print the kind of the user-data (cloud-config, script, ignition, empty or unknown), and apply nothing")
	set.BoolVar(&f.ignoreFailure, "ignore-failure", false, "exit with 0 even if the user-data has errors")
}

const linkLocal = "http://169.254.169.254/"

// platforms are the flags that -oem stands for.
var platforms = map[string]map[string]string{
	"azure":             {"from-azure-metadata": linkLocal}, // the agent is not shipped
	"cloudsigma":        {"from-cloudsigma-metadata": "true"},
	"digitalocean":      {"from-digitalocean-metadata": linkLocal},
	"ec2-compat":        {"from-ec2-metadata": linkLocal, "from-configdrive": configdrive.MountPoint},
	"gce":               {"from-gce-metadata": "http://metadata.google.internal/"},
	"openstack":         {"from-openstack-metadata": linkLocal, "from-configdrive": configdrive.MountPoint},
	"packet":            {"from-packet-metadata": "https://metadata.packet.net/"},
	"qemu":              {"from-qemu": "true", "from-smbios": "true", "from-proc-cmdline": "true"},
	"rackspace-onmetal": {"from-configdrive": configdrive.MountPoint, "convert-netconf": "debian"},
	"vmware":            {"from-vmware-guestinfo": "true", "convert-netconf": "vmware"},
}

// netconf returns the format of the network to apply, none by default. Call sources before
// it, because -oem may set the format.
func (f *flags) netconf() (netconf.Form, error) {
	if f.convertNetconf == "" {
		return "", nil
	}
	form, err := netconf.ParseForm(f.convertNetconf)
	if err != nil {
		return "", exit.Usagef("-convert-netconf: %w", err)
	}
	return form, nil
}

// oemNames are the names of platforms here, where Ignition has another.
var oemNames = map[platform.ID]string{"aws": "ec2-compat", "gcp": "gce"}

// oemName is the name of the machine's platform in place of "auto".
func oemName(name string) (string, error) {
	if name != "auto" {
		return name, nil
	}
	text, err := os.ReadFile(platform.Record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := platform.ID(strings.TrimSpace(string(text)))
	if name := oemNames[id]; name != "" {
		return name, nil
	}
	if _, ok := platforms[string(id)]; !ok {
		return "", fmt.Errorf("%w: the platform %q has no user-data that this command knows of", datasource.ErrAbsent, id)
	}
	return string(id), nil
}

// configDrive returns the source for a mounted config drive. What udev found and systemd
// mounted has to be the drive of this machine; another directory is the caller's choice.
func configDrive(dir string) datasource.Source {
	source := datasource.ConfigDrive(dir)
	if filepath.Clean(dir) == configdrive.MountPoint {
		return configdrive.New().Guard(source, dir)
	}
	return source
}

// sources returns where to look, in the order in which what is found counts.
func (f *flags) sources(set *pflag.FlagSet) ([]datasource.Source, error) {
	if f.oem != "" {
		name, err := oemName(f.oem)
		if err != nil {
			return nil, err
		}
		stands, ok := platforms[name]
		if !ok {
			return nil, exit.Usagef("unknown OEM %q: want auto, %s", f.oem, strings.Join(slices.Sorted(maps.Keys(platforms)), ", "))
		}
		for flag, value := range stands {
			if !set.Changed(flag) {
				if err := set.Set(flag, value); err != nil {
					return nil, err
				}
			}
		}
	}
	if f.metadataService && f.ec2 == "" {
		f.ec2 = linkLocal
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	var all []datasource.Source
	for _, of := range []struct {
		wanted bool
		source datasource.Source
	}{
		{f.file != "", datasource.File(f.file)},
		{f.url != "", datasource.URL(f.url)},
		{f.configDrive != "", configDrive(f.configDrive)},
		{f.smbios, datasource.SMBIOS(datasource.SMBIOSDir)},
		{f.qemu, datasource.QEMU(datasource.FirmwareDir)},
		{f.ec2 != "", datasource.EC2(f.ec2)},
		{f.openStack != "", datasource.OpenStack(f.openStack)},
		{f.gce != "", datasource.GCE(f.gce)},
		{f.cloudSigma, datasource.CloudSigma(datasource.ProductFile, datasource.CloudSigmaPort)},
		{f.digitalOcean != "", datasource.DigitalOcean(f.digitalOcean)},
		{f.waagent != "", datasource.AzureAgent(f.waagent)},
		{f.azure != "", datasource.Azure(f.azure)},
		{f.packet != "", datasource.Packet(f.packet)},
		{f.procCmdline, datasource.CommandLine(string(cmdline))},
		{f.vmware, datasource.VMwareGuestinfo(datasource.VendorFile, datasource.GuestinfoCommand("vmware-rpctool"))},
		{f.ovfEnv != "", datasource.VMwareOVF(f.ovfEnv)},
	} {
		if of.wanted {
			all = append(all, of.source)
		}
	}
	if len(all) == 0 {
		return nil, exit.Usagef("name at least one source, such as -from-file FILE or -oem NAME")
	}
	return all, nil
}
