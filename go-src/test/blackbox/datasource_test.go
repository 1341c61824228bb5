package blackbox

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "metadata", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "a machine that its firmware says to be of EC2 takes its cloud-config, name and keys from there, late as it may answer",
		Run:  metadata,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "config-drive", Machines: 1, Limit: 5 * time.Minute,
		Does: "a config drive is found and applied, as ISO 9660 and as vfat",
		Run:  configDrive,
	})
}

const exampleKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b3 op@example.com"

// metadataOfEC2 answers as EC2's server does, with tokens. The first answers are errors.
func metadataOfEC2() http.HandlerFunc {
	values := map[string]string{
		"user-data":                           "#cloud-config\nwrite_files: [{path: /opt/address, content: at $private_ipv4}]\n",
		"meta-data":                           "hostname\nlocal-ipv4\npublic-keys/\n",
		"meta-data/hostname":                  "ip-10-0-0-7.ec2.internal",
		"meta-data/local-ipv4":                "10.0.0.7",
		"meta-data/public-keys":               "0=op\n",
		"meta-data/public-keys/0":             "openssh-key\n",
		"meta-data/public-keys/0/openssh-key": exampleKey + "\n",
	}
	var requests atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
		value, known := values[path]
		switch {
		case requests.Add(1) <= 3:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		case path == "api/token" && r.Method == http.MethodPut:
			w.Header().Set("X-aws-ec2-metadata-token-ttl-seconds", "21600")
			fmt.Fprint(w, "a-token")
		case r.Header.Get("X-aws-ec2-metadata-token") != "a-token":
			http.Error(w, "no token", http.StatusUnauthorized)
		case !known:
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, value)
		}
	}
}

func metadata(t *suite.T) {
	server := serve(t, metadataOfEC2())
	start := time.Now()
	m := boot(t, machine.Config{Name: "instance", Vendor: "Amazon EC2", Metadata: map[string]string{"169.254.169.254:80": server}})
	t.Shows(m, "the user-data is not an Ignition config")
	healthy(t, m)
	t.Run(m, "systemctl start metadata-cloudinit.service")
	t.Logf("configured %.1f s after power-on", time.Since(start).Seconds())
	t.Equal("/opt/address", t.Run(m, "cat /opt/address"), "at 10.0.0.7")
	t.Equal("hostname", t.Run(m, "cat /proc/sys/kernel/hostname"), "ip-10-0-0-7.ec2.internal")
	t.Equal("keys of core", t.Run(m, "cat /home/core/.ssh/authorized_keys.d/*"), exampleKey)
}

func configDrive(t *suite.T) {
	const network = `{"links": [{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}]}`
	drive := filepath.Join(t.Dir, "drive")
	for name, text := range map[string]string{
		"user_data":         "#cloud-config\nwrite_files: [{path: /opt/drive, content: of ISO 9660}]\n",
		"meta_data.json":    `{"hostname": "from-iso", "public_keys": {"op": "` + exampleKey + `"}}`,
		"network_data.json": network,
	} {
		t.Must(os.MkdirAll(filepath.Join(drive, "openstack/latest"), 0o755))
		t.Must(os.WriteFile(filepath.Join(drive, "openstack/latest", name), []byte(text), 0o644))
	}
	iso := filepath.Join(t.Dir, "drive.iso")
	if out, err := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-V", "config-2", "-J", "-r", "-o", iso, drive).CombinedOutput(); err != nil {
		t.Fatalf("xorriso: %v: %s", err, out)
	}
	m := t.Start(machine.Config{Name: "driven", Disk: proven(t), Args: append(blankDisks(t, "blank"),
		"-drive", "if=none,media=cdrom,id=iso,file="+iso, "-device", "ide-cd,drive=iso")})
	healthy(t, m)
	check := func(of, hostname string) {
		t.Helper()
		t.Run(m, "systemctl start user-configdrive.service")
		t.Equal("/opt/drive", t.Run(m, "cat /opt/drive"), of)
		t.Equal("hostname", t.Run(m, "cat /proc/sys/kernel/hostname"), hostname)
		t.Equal("keys of core", t.Run(m, "cat /home/core/.ssh/authorized_keys.d/*"), exampleKey)
	}
	check("of ISO 9660", "from-iso")
	t.Run(m, `set -e
		systemctl stop user-configdrive.service media-configdrive.mount
		rm /home/core/.ssh/authorized_keys.d/*
		eject /dev/sr0 2>/dev/null || echo 1 >/sys/block/sr0/device/delete
		mkfs.vfat -n CONFIG-2 /dev/disk/by-id/virtio-blank
		mount /dev/disk/by-id/virtio-blank /mnt
		mkdir -p /mnt/openstack/latest
		echo '{"hostname": "from-vfat", "public_keys": {"op": "`+exampleKey+`"}}' >/mnt/openstack/latest/meta_data.json
		printf '#cloud-config\nwrite_files: [{path: /opt/drive, content: of vfat}]\n' >/mnt/openstack/latest/user_data
		umount /mnt
		udevadm trigger --settle /dev/disk/by-id/virtio-blank`)
	check("of vfat", "from-vfat")
}
