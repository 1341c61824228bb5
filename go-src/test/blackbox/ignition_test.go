package blackbox

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	for _, disks := range []bool{false, true} {
		in, name, what := suite.Change, "ignition", "a Butane config makes"
		if disks {
			in, name, what = suite.Smoke, "ignition-disks", "a Butane config makes a RAID with LUKS in it,"
		}
		suite.Register(suite.Test{
			Suite: in, Name: name, Native: !disks, Needs: append(slices.Clip(suite.Host), suite.ConfigCtl), Machines: 1, Limit: 6 * time.Minute,
			Does: what + " users, files from near and far, units, once",
			Run:  func(t *suite.T) { ignitionConfig(t, disks) },
		})
		suite.Register(suite.Test{
			Suite: in, Name: name + "-fails", Native: !disks, Needs: append(slices.Clip(suite.Host), suite.ConfigCtl), Machines: 1, Limit: 6 * time.Minute,
			Does: "a config that cannot be applied stops the boot, says why, leaves nothing and works once corrected",
			Run:  func(t *suite.T) { ignitionFails(t, disks) },
		})
	}
}

// ignitionText is a config of Butane's; the network is wanted for one file. It has
// ignitionDisks in the place of DISKS, or nothing.
const ignitionText = `variant: flatcar
version: 1.1.0
passwd:
  users:
    - name: core
      ssh_authorized_keys:
        - ` + exampleKey + `
    - name: ada
      groups: [docker]
storage:
DISKS  files:
    - path: /etc/hostname
      contents: {inline: ignited}
    - path: /var/lib/vault/hello
      mode: 0640
      user: {name: ada}
      contents: {inline: hello}
    - path: /opt/far
      contents:
        source: http://10.0.2.2:%s/far
        verification: {hash: sha512-%s}
systemd:
  units:
    - name: docker.service
      enabled: true
    - name: systemd-timesyncd.service
      mask: true
    - name: hello.service
      enabled: true
      contents: |
        [Unit]
        RequiresMountsFor=/var/lib/vault
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=cp /var/lib/vault/hello /run/hello
        [Install]
        WantedBy=multi-user.target
`

const ignitionDisks = `  raid:
    - name: data
      level: raid1
      devices: [/dev/disk/by-id/virtio-first, /dev/disk/by-id/virtio-second]
  luks:
    - name: vault
      device: /dev/md/data
      wipe_volume: true
      key_file: {inline: opensesame}
  filesystems:
    - device: /dev/mapper/vault
      format: ext4
      path: /var/lib/vault
      with_mount_unit: true
`

func ignitionConfig(t *suite.T, disks bool) {
	far := []byte("from far\n")
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(far) })
	text := fmt.Sprintf(ignitionText, port(server), hash(far))
	config := machine.Config{Name: "ignited", Ignition: filepath.Join(t.Dir, "config.ign")}
	want := map[string]string{
		"cat /proc/sys/kernel/hostname":                                              "ignited",
		"cat /home/core/.ssh/authorized_keys.d/ignition | cut -d' ' -f3":             "op@example.com",
		"stat -c '%U %a' /home/core/.ssh /home/core/.ssh/authorized_keys.d/ignition": "core 700\ncore 600",
		"id -nG ada":                           "ada docker",
		"stat -c '%U %a' /var/lib/vault/hello": "ada 640",
		"cat /opt/far":                         "from far",
		"cat /run/hello":                       "hello",
		"systemctl is-active docker hello":     "active\nactive",
		"systemctl show -p LoadState --value systemd-timesyncd": "masked",
		"ls -A / | grep ignition":                               "",
	}
	if disks {
		text = strings.ReplaceAll(text, "DISKS", ignitionDisks)
		config.Args = blankDisks(t, "first", "second")
		want["findmnt -no SOURCE,FSTYPE /var/lib/vault"] = "/dev/mapper/vault ext4"
		want["lsblk -nro TYPE -s /dev/mapper/vault | sort -u"] = "crypt\ndisk\nraid1"
	}
	text = strings.ReplaceAll(text, "DISKS", "")
	translate(t, text, config.Ignition)
	start := time.Now()
	m := boot(t, config)
	t.Shows(m, "Ignition has provisioned the machine")
	healthy(t, m)
	t.Logf("configured %.1f s after power-on", time.Since(start).Seconds())
	check := func() {
		for command, want := range want {
			t.Equal(command, t.Run(m, command+" || true"), want)
		}
	}
	check()
	// A change of the config has no effect any more.
	translate(t, strings.ReplaceAll(text, "ignited", "again"), config.Ignition)
	reboot(t, m)
	check()
}

func ignitionFails(t *suite.T, disks bool) {
	var far atomic.Value
	far.Store([]byte("wrong\n"))
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(far.Load().([]byte)) })
	right := []byte("right\n")
	config := machine.Config{Name: "ignited", Ignition: filepath.Join(t.Dir, "config.ign"), NameByDHCP: "by-dhcp"}
	text := "variant: flatcar\nversion: 1.1.0\nstorage:\n" +
		"  files:\n    - path: /etc/%s\n      contents: {inline: x}\n" +
		"    - path: /opt/far\n      contents: {source: \"http://10.0.2.2:%s/\", verification: {hash: sha512-%s}}\n"
	if disks { // the array is there already when it is tried again
		text += "  raid: [{name: data, level: raid1, devices: [/dev/disk/by-id/virtio-first, /dev/disk/by-id/virtio-second]}]\n"
		config.Args = blankDisks(t, "first", "second")
	}
	translate(t, fmt.Sprintf(text, "mistake", port(server), hash(right)), config.Ignition)
	m := boot(t, config)
	t.Shows(m, `bootengine: first boot: stage files: .*hash verification failed.*this machine is not provisioned`)
	t.Shows(m, "the machine restarts in")
	// The operator mends both; the machine sees it when it tries again.
	far.Store(right)
	translate(t, fmt.Sprintf(text, "mended", port(server), hash(right)), config.Ignition)
	m.Restarts()
	healthy(t, m)
	t.Equal("/opt/far", t.Run(m, "cat /opt/far"), "right")
	t.Equal("hostname", t.Run(m, "cat /proc/sys/kernel/hostname"), "by-dhcp")
	t.Equal("of both attempts", t.Run(m, "cd /etc && ls mistake mended 2>/dev/null || true"), "mended")
}

// blankDisks returns arguments for QEMU that give a machine empty disks, as
// /dev/disk/by-id/virtio-NAME.
func blankDisks(t *suite.T, names ...string) (args []string) {
	for _, name := range names {
		disk := filepath.Join(t.Dir, name+".raw")
		t.Must(os.WriteFile(disk, nil, 0o600))
		t.Must(os.Truncate(disk, 96<<20))
		args = append(args, "-drive", "if=none,format=raw,cache=unsafe,id="+name+",file="+disk, "-device", "virtio-blk-pci,drive="+name+",serial="+name)
	}
	return args
}

// translate translates a config from Butane's form to Ignition's, by the build host's tool.
func translate(t *suite.T, text, path string) {
	command := exec.Command(filepath.Join(t.Env.Output, "host/bin/configctl"), "translate", "--output", path, "-")
	command.Stdin = strings.NewReader(text)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("configctl: %v: %s", err, out)
	}
}

// serve answers requests of machines at machine.HostInMachine, and returns the address on
// the host.
func serve(t *suite.T, handler http.HandlerFunc) string {
	t.Helper()
	return serveAt(t, t.Listen(), handler)
}

// serveAt does so on a listener.
func serveAt(t *suite.T, listener net.Listener, handler http.HandlerFunc) string {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	return listener.Addr().String()
}

// port returns the port of an address.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func hash(text []byte) string {
	sum := sha512.Sum512(text)
	return hex.EncodeToString(sum[:])
}
