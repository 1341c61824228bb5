package blackbox

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "metadata", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "a machine that its firmware says to be of EC2 takes its cloud-config, name and keys from there, late as it may answer",
		Run:  metadata,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "config-drive", Machines: 1, Limit: 5 * time.Minute,
		Does: "a config drive is found and applied, as ISO 9660 and as vfat; another one only if the first is forgotten",
		Run:  configDrive,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "config-drive-foreign", Machines: 1, Limit: 8 * time.Minute,
		Does: "a volume that a container gives the label of a config drive is not one, at once and after a restart",
		Run:  foreignDrive,
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

// linkLocal is the address of metadata servers. The host answers there for one machine on its
// kernel at a time.
var linkLocal sync.Mutex

// instance starts a machine whose firmware names a platform, and whose metadata server answers so.
func instance(t *suite.T, vendor string, answers http.HandlerFunc) *machine.Machine {
	t.Helper()
	server := serve(t, answers)
	if t.Native() {
		linkLocal.Lock()
		t.Cleanup(linkLocal.Unlock)
	}
	m := boot(t, machine.Config{Name: "instance", Vendor: vendor, Metadata: map[string]string{"169.254.169.254:80": server}})
	if t.Native() {
		t.Cleanup(m.Cut)
	}
	return m
}

func metadata(t *suite.T) {
	start := time.Now()
	m := instance(t, "Amazon EC2", metadataOfEC2())
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
	t.Run(m, "coreos-cloudinit config-drive status | grep -q 'config drive: bus ata'")
	t.Run(m, `set -e
		systemctl stop user-configdrive.service media-configdrive.mount
		rm /home/core/.ssh/authorized_keys.d/*
		eject /dev/sr0 2>/dev/null || echo 1 >/sys/block/sr0/device/delete
		mkfs.vfat -n CONFIG-2 /dev/disk/by-id/virtio-blank
		mount /dev/disk/by-id/virtio-blank /mnt
		mkdir -p /mnt/openstack/latest
		echo '{"hostname": "from-vfat", "public_keys": {"op": "`+exampleKey+`"}}' >/mnt/openstack/latest/meta_data.json
		printf '#cloud-config\nwrite_files: [{path: /opt/drive, content: of vfat}]\n' >/mnt/openstack/latest/user_data
		umount /mnt`)
	const event = "udevadm trigger --settle /dev/disk/by-id/virtio-blank"
	t.Run(m, event)
	t.Fails(m, "test -e /dev/disk/config-drive")
	t.Run(m, "coreos-cloudinit config-drive forget && "+event)
	check("of vfat", "from-vfat")
}

// foreignDrive has a container that may write a volume, and nothing else, make it look like a
// config drive. Its script would run as root.
func foreignDrive(t *suite.T) {
	reference, authority := serveImage(t, volumeWriter)
	m := t.Start(machine.Config{Name: "victim", Disk: proven(t), Args: blankDisks(t, "tenant")})
	healthy(t, m)
	pull(t, m, reference, authority)
	t.Run(m, `set -e
		truncate --size=8M /opt/drive.img
		mkfs.vfat -n CONFIG-2 /opt/drive.img
		mount -o loop /opt/drive.img /mnt
		mkdir -p /mnt/openstack/latest
		printf '#!/bin/sh\ntouch /opt/taken\n' >/mnt/openstack/latest/user_data
		echo '{"public_keys": {"evil": "`+exampleKey+`"}}' >/mnt/openstack/latest/meta_data.json
		umount /mnt`)
	t.Run(m, `set -e
		volume=$(realpath /dev/disk/by-id/virtio-tenant)
		docker run --rm --interactive --cap-drop ALL --user 65534 --group-add "$(stat -c %g $volume)" \
			--network none --device $volume:/dev/volume `+reference+` </opt/drive.img`)
	untouched := func(when string) {
		t.Helper()
		t.Run(m, "udevadm trigger --settle --subsystem-match=block")
		t.Equal("label of the volume "+when, t.Run(m, "blkid -s LABEL -o value /dev/disk/by-id/virtio-tenant"), "CONFIG-2")
		t.Equal("what became of it "+when, t.Run(m, `ls -d /dev/disk/config-drive /opt/taken /home/core/.ssh 2>/dev/null
			findmnt /media/configdrive
			systemctl show --property=ActiveState --value user-configdrive.service`), "inactive")
		t.Run(m, "journalctl --boot --identifier coreos-cloudinit --grep 'has the label of a config drive, and is not used'")
	}
	untouched("at once")
	reboot(t, m)
	untouched("after a restart")
	// A loop device is no drive, whatever the machine remembers.
	t.Run(m, "coreos-cloudinit config-drive forget && dd if=/dev/zero of=/dev/disk/by-id/virtio-tenant bs=1M count=8 conv=fsync")
	t.Run(m, "losetup --find /opt/drive.img && udevadm settle")
	t.Fails(m, "test -e /dev/disk/config-drive")
}

// volumeWriter is a program that writes its input to a volume.
const volumeWriter = `package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	volume, err := os.OpenFile("/dev/volume", os.O_WRONLY, 0)
	if err == nil {
		_, err = io.Copy(volume, os.Stdin)
	}
	if err == nil {
		err = volume.Sync()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
`
