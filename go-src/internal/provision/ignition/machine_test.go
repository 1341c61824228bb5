package ignition

import (
	"strings"
	"testing"
)

// machineTests are configs that Ignition accepts; want is in the only problem, "" for none.
var machineTests = map[string]struct {
	config  string
	want    string
	warning bool
}{
	"good": {`"passwd": {"users": [{"name": "ada.lovelace", "groups": ["sudo", "docker", "wheel", "rkt", "ada", "staff", "1000"], "shell": "/bin/bash"}, {"name": "ada"}],
		"groups": [{"name": "ada"}]}, "storage": {"files": [{"path": "/etc/docker/daemon.json", "contents": {"source": "data:,%7B%7D"}, "user": {"name": "ada"}},
		{"path": "/opt/bin/x"}], "filesystems": [{"device": "/dev/vde", "path": "/var", "format": "ext4"}], "disks": [{"device": "/dev/vdb", "partitions": [{"label": "data"}]}],
		"luks": [{"name": "x", "device": "/dev/vdc"}]}`, "", false},
	"arguments":          {`"kernelArguments": {"shouldExist": ["quiet"]}`, "line 1, column 72: error: $.kernelArguments.shouldExist: the kernel command line is signed", false},
	"arguments removed":  {`"kernelArguments": {"shouldNotExist": ["quiet"]}`, "kernelArguments.shouldNotExist: the kernel command line is signed", false},
	"clevis by tpm2":     {`"storage": {"luks": [{"name": "x", "device": "/dev/vdb", "clevis": {"tpm2": true}}]}`, "luks.0.clevis: the system has no clevis", false},
	"clevis by tang":     {`"storage": {"luks": [{"name": "x", "device": "/dev/vdb", "clevis": {"tang": [{"url": "http://x", "thumbprint": "y"}]}}]}`, "luks.0.clevis", false},
	"clevis by a pin":    {`"storage": {"luks": [{"name": "x", "device": "/dev/vdb", "clevis": {"custom": {"pin": "sss", "config": "{}"}}}]}`, "luks.0.clevis", false},
	"cex":                {`"storage": {"luks": [{"name": "x", "device": "/dev/vdb", "cex": {"enabled": true}}]}`, "luks.0.cex", false},
	"file in /usr":       {`"storage": {"files": [{"path": "/usr/bin/x"}]}`, `files.0.path: "/usr/bin/x" cannot be written: /usr is read-only`, false},
	"link in /bin":       {`"storage": {"links": [{"path": "/bin/x", "target": "y"}]}`, "links.0.path", false},
	"unit in /lib":       {`"storage": {"files": [{"path": "/lib/systemd/system/x.service"}]}`, "/lib is a link into /usr", false},
	"directory on OEM":   {`"storage": {"directories": [{"path": "/oem/x"}]}`, "/oem is read-only", false},
	"a sysctl":           {`"storage": {"files": [{"path": "/proc/sys/vm/swappiness"}]}`, "/proc belongs to the kernel", false},
	"volatile":           {`"storage": {"files": [{"path": "/run/x"}]}`, "is gone when systemd has started", true},
	"mount on /":         {`"storage": {"filesystems": [{"device": "/dev/vdb", "path": "/", "format": "ext4"}]}`, "the root file system is mounted", false},
	"mount below /usr":   {`"storage": {"filesystems": [{"device": "/dev/vdb", "path": "/usr/local", "format": "ext4"}]}`, "/usr is read-only", false},
	"format of ROOT":     {`"storage": {"filesystems": [{"device": "/dev/disk/by-partlabel/ROOT", "format": "xfs"}]}`, "is a partition of the system's own disk", false},
	"LUKS of OEM":        {`"storage": {"luks": [{"name": "x", "device": "/dev/disk/by-label/OEM"}]}`, "is a partition of the system's own disk", false},
	"RAID of ROOT":       {`"storage": {"raid": [{"name": "x", "level": "raid1", "devices": ["/dev/vdb", "/dev/disk/by-partlabel/ROOT"]}]}`, "raid.0.devices.1", false},
	"a partition ROOT":   {`"storage": {"disks": [{"device": "/dev/vdb", "partitions": [{"label": "ROOT"}]}]}`, `"ROOT" is a label of the system's own disk`, false},
	"linear":             {`"storage": {"raid": [{"name": "x", "level": "linear", "devices": ["/dev/vdb"]}]}`, "no RAID of the level linear", false},
	"group":              {`"passwd": {"users": [{"name": "ada", "groups": ["wizards"]}]}`, `users.0.groups.0: the image has no group "wizards"`, true},
	"primary group":      {`"passwd": {"users": [{"name": "ada", "primaryGroup": "wizards"}]}`, "users.0.primaryGroup", true},
	"shell":              {`"passwd": {"users": [{"name": "ada", "shell": "/bin/zsh"}]}`, `the image has no shell "/bin/zsh"`, true},
	"shell of its own":   {`"passwd": {"users": [{"name": "ada", "shell": "/opt/bin/zsh"}]}, "storage": {"files": [{"path": "/opt/bin/zsh"}]}`, "", false},
	"a user who goes":    {`"passwd": {"users": [{"name": "games", "shouldExist": false, "groups": ["x"]}]}`, "", false},
	"key cut off":        {`"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAC3Nz"]}]}`, "users.0.sshAuthorizedKeys.0", true},
	"owner":              {`"storage": {"files": [{"path": "/opt/x", "user": {"name": "nginx"}}]}`, `files.0.user.name: the image has no user "nginx"`, true},
	"group of a file":    {`"storage": {"directories": [{"path": "/opt/x", "group": {"name": "nginx"}}]}`, "directories.0.group.name", true},
	"passwd":             {`"storage": {"files": [{"path": "/etc/passwd", "overwrite": true, "contents": {"source": "data:,x"}}]}`, "use passwd.users", true},
	"Windows":            {`"storage": {"files": [{"path": "/opt/x", "contents": {"source": "data:,%23!/bin/sh%0D%0A"}}]}`, "the script /opt/x has line ends of Windows", true},
	"name of a group":    {`"passwd": {"users": [{"name": "operator"}]}`, `users.0.name: the image has a group "operator"`, false},
	"in that group":      {`"passwd": {"users": [{"name": "operator", "primaryGroup": "operator"}, {"name": "staff", "noUserGroup": true}]}`, "", false},
	"hostname":           {`"storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "data:,a..b%0A"}}]}`, `"a..b" is not a valid hostname`, true},
	"hostname in base64": {`"storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "data:;base64,YV9i"}}]}`, `"a_b" is not a valid hostname`, true},
	"long hostname":      {`"storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "data:,` + strings.Repeat("a.", 40) + `b"}}]}`, "81 characters", true},
	"hostname elsewhere": {`"storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "https://example.com/x"}}]}`, "", false},
}

func TestMachine(t *testing.T) {
	for name, test := range machineTests {
		t.Run(name, func(t *testing.T) {
			problems, err := Validate([]byte(`{"ignition": {"version": "3.5.0"}, ` + test.config + `}`))
			told := strings.Join(problems, "\n")
			if test.want == "" {
				if len(problems) > 0 || err != nil {
					t.Errorf("%s, error %v", told, err)
				}
				return
			}
			kind := ": error: "
			if test.warning {
				kind = ": warning: "
			}
			if len(problems) != 1 || !strings.Contains(told, test.want) || !strings.Contains(told, kind) || (err == nil) != test.warning {
				t.Errorf("problems:\n%s\nerror %v, want one%s%s", told, err, kind, test.want)
			}
		})
	}
}
