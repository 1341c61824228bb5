package blackbox

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "cloud-config", Native: true, Needs: suite.Host, Machines: 1, Limit: 4 * time.Minute,
		Does: "each key of a cloud-config does what it says, twice as once; a wrong key is named, the rest is done",
		Run:  cloudConfig,
	})
	suite.Register(suite.Test{
		Name: "cloud-config-boot", Native: true, Needs: suite.Host, Machines: 1, Limit: 4 * time.Minute,
		Does: "a config that QEMU hands over is applied at the first boot, what is wrong in it is on the console",
		Run:  cloudConfigBoot,
	})
}

// cloudConfigBoot hands a config to a machine that boots for the first time.
func cloudConfigBoot(t *suite.T) {
	path := filepath.Join(t.Dir, "config.yml")
	text := "#cloud-config\nhostname: handed-over\nusers: [{nam: x}]\ncoreos: {units: [{name: docker.service, command: start}]}\n"
	t.Must(os.WriteFile(path, []byte(text), 0o644))
	start := time.Now()
	m := boot(t, machine.Config{Name: "configured", CloudConfig: path})
	t.Shows(m, `QEMU firmware configuration: line 3, column 10: error: users\[0\].nam: no such key`)
	t.Shows(m, "coreos-cloudinit: the user-data has errors")
	healthy(t, m) // the mistake does not make the slot unhealthy
	t.Equal("hostname", t.Run(m, "cat /etc/hostname"), "handed-over")
	t.Equal("docker", t.Run(m, "systemctl is-active docker.service"), "active")
	t.Logf("configured %.1f s after power-on", time.Since(start).Seconds())
	if status := t.Run(m, "systemctl status --no-pager user-cloudinit || true"); !strings.Contains(status, "users[0].nam: no such key") {
		t.Errorf("the status does not say what is wrong:\n%s", status)
	}
}

// cloudConfigText is a long config, such as machines in the field have.
const cloudConfigText = `#cloud-config
hostname: node-1.example.com
manage_etc_hosts: localhost
ssh_authorized_keys:
  - ` + exampleKey + `
users:
  - name: ada
    gecos: Ada L
    passwd: $6$salt$hash
    groups: [docker]
    ssh-authorized-keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjf0tnDo8VqjQ9b1kJ9b3c2yQz0vJmR5o7oVb1kJ9b4 ada
  - name: daemon1
    system: true
    no-create-home: true
    shell: /usr/sbin/nologin
write_files:
  - path: /etc/motd
    permissions: "0600"
    owner: core:docker
    content: |
      at $private_ipv4, not \$private_ipv4
  - path: /opt/bin/hello
    permissions: "0755"
    encoding: b64
    content: IyEvYmluL3NoCmVjaG8gaGVsbG8gPi9ydW4vaGVsbG8K
coreos:
  etcd2:
    name: node1
    listen-client-urls: http://$private_ipv4:2379
  fleet:
    metadata: role=web
  flannel:
    interface: eth0
  locksmith:
    group: web
  update:
    group: beta
    reboot-strategy: off
  oem:
    id: rack
    name: The Rack
  units:
    - name: hello.service
      enable: true
      command: start
      content: |
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/opt/bin/hello
        [Install]
        WantedBy=multi-user.target
    - name: systemd-timesyncd.service
      mask: true
      command: stop
    - name: docker.service
      drop-ins:
        - name: 10-environment.conf
          content: |
            [Service]
            Environment=OF=cloud-config
    - name: 90-bridge.netdev
      runtime: true
      content: |
        [NetDev]
        Name=bridge7
        Kind=bridge
`

func cloudConfig(t *suite.T) {
	m := running(t)
	put := func(text string) {
		t.Run(m, "cat >/root/config.yml <<'END'\n"+text+"END")
	}
	put(cloudConfigText)
	const apply = "COREOS_PRIVATE_IPV4=10.0.2.15 coreos-cloudinit -from-file /root/config.yml"
	t.Run(m, apply)
	for command, want := range map[string]string{
		"cat /proc/sys/kernel/hostname /etc/hostname":                  "node-1.example.com\nnode-1.example.com",
		"getent hosts node-1 | cut -c1-9":                              "127.0.1.1",
		"cat /home/core/.ssh/authorized_keys.d/* | cut -d' ' -f3":      "op@example.com",
		"stat -c '%U %a' /home/ada/.ssh/authorized_keys.d/* /home/ada": "ada 600\nada 700",
		"id -nG ada":                             "ada docker",
		"id -nG core | xargs -n1 | sort | xargs": "core docker fleet rkt sudo systemd-journal wheel",
		"setpriv --reuid=core --regid=core --init-groups sudo -n id -u":         "0",
		"setpriv --reuid=ada --regid=ada --init-groups sudo -n id -u":           "",
		"getent shadow root core | cut -d: -f2 | grep -c '^[!*]'":               "2",
		"getent shadow ada | cut -d: -f2":                                       "$6$salt$hash",
		"getent passwd ada | cut -d: -f5-":                                      "Ada L:/home/ada:/bin/bash",
		"getent passwd daemon1 | cut -d: -f6-; ls -d /home/daemon1 2>/dev/null": "/home/daemon1:/usr/sbin/nologin",
		"cat /etc/motd":                                         "at 10.0.2.15, not $private_ipv4",
		"stat -c '%U:%G %a' /etc/motd":                          "core:docker 600",
		"cat /run/hello":                                        "hello",
		"systemctl is-enabled hello.service":                    "enabled",
		"systemctl is-active hello.service":                     "active",
		"systemctl show -p LoadState --value systemd-timesyncd": "masked",
		"systemctl show -p Environment --value docker":          "OF=cloud-config",
		"ip -o link show bridge7 | wc -l":                       "1",
		"cat /etc/coreos/update.conf":                           "GROUP=beta\nREBOOT_STRATEGY=off",
		"cat /etc/oem-release":                                  "ID=\"rack\"\nNAME=\"The Rack\"",
		"cd /run/systemd/system; grep -h Env {etcd,fleet,flanneld,locksmithd}.service.d/20-cloudinit.conf": strings.Join([]string{
			`Environment="ETCD_NAME=node1"`, `Environment="ETCD_LISTEN_CLIENT_URLS=http://10.0.2.15:2379"`, `Environment="FLEET_METADATA=role=web"`,
			`Environment="FLANNELD_IFACE=eth0"`, `Environment="LOCKSMITHD_GROUP=web"`}, "\n"),
	} {
		t.Equal(command, t.Run(m, command+" || true"), want)
	}
	if again := t.Run(m, apply+" 2>&1"); !strings.Contains(again, "changes=0") {
		t.Errorf("applied again it says:\n%s", again)
	}

	put("#cloud-config\nhostname: other\nwrite_files:\n- {path: /usr/bin/x}\n- {path: /etc/right, content: right}\n")
	if message := t.Fails(m, "coreos-cloudinit -from-file /root/config.yml"); !strings.Contains(message,
		"file /root/config.yml: line 4, column 10: error: write_files[0].path: \"/usr/bin/x\": want a path outside of /usr") {
		t.Errorf("a wrong key: %s", message)
	}
	t.Equal("what is right", t.Run(m, "cat /etc/right /etc/hostname"), "rightother")
	t.Run(m, "coreos-cloudinit -ignore-failure -from-file /root/config.yml")

	put("#!/bin/sh\necho ran >/run/script\n")
	t.Equal("script", t.Run(m, "mkfifo /run/script && coreos-cloudinit -from-file /root/config.yml >/dev/null && cat /run/script"), "ran")
}
