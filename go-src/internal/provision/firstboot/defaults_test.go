package firstboot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configOf reads a config.
func configOf(t *testing.T, text string) *config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ignition.json")
	write(t, path, text)
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestYield(t *testing.T) {
	root := t.TempDir()
	slot := filepath.Join(root, slotEtc)
	for path, text := range map[string]string{
		"docker/daemon.json": "{}", "motd": "slot", "hosts": "slot", "passwd": "slot", "issue": "slot", "ssh/sshd_config": "slot", "locale.conf": "slot",
	} {
		write(t, filepath.Join(slot, path), text)
		write(t, filepath.Join(root, "etc", path), text)
	}
	write(t, filepath.Join(root, "etc/hosts"), "the machine's")
	for _, dir := range []string{slot, filepath.Join(root, "etc")} {
		if err := os.Symlink("/usr/share/zoneinfo/Etc/UTC", filepath.Join(dir, "localtime")); err != nil {
			t.Fatal(err)
		}
	}
	c := configOf(t, `{"storage": {"links": [{"path": "/etc/localtime", "target": "../usr/share/zoneinfo/Europe/Berlin"}], "files": [
		{"path": "/etc/docker/daemon.json", "contents": {"source": "data:,%7B%7D"}},
		{"path": "/etc/motd", "contents": {"source": ""}, "overwrite": false},
		{"path": "/etc/hosts", "contents": {"source": "data:,x"}},
		{"path": "/etc/passwd", "contents": {"source": "data:,x"}},
		{"path": "/etc/issue", "append": [{"source": "data:,x"}]},
		{"path": "/etc/locale.conf", "mode": 384},
		{"path": "/etc/ssh/sshd_config", "contents": {"source": "data:,x"}, "overwrite": true},
		{"path": "/etc/new", "contents": {"source": "data:,x"}},
		{"path": "/opt/x", "contents": {"source": "data:,x"}}]}}`)
	f := FirstBoot{Log: &diary{}}
	if err := f.yield(c, root); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(root, "etc")); got != "docker hosts issue locale.conf passwd ssh" {
		t.Errorf("left is %s", got)
	}
	if got := names(t, filepath.Join(root, "etc/docker")); got != "" {
		t.Errorf("left is docker/%s", got)
	}
}

const sysusers = "# groups\ng adm 4 -\ng plugdev 46 -\n\nu games 5:60 - /usr/games /usr/sbin/nologin\nu! lp 7 -\nm lp plugdev\nm core adm\n"

func TestKeepRemoved(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, slotSysusers, "basic.conf"), sysusers)
	write(t, filepath.Join(root, slotSysusers, "other.conf"), "g kvm - -\n")
	write(t, filepath.Join(root, slotSysusers, "masked.conf"), "u games -\n")
	write(t, filepath.Join(root, ownSysusers, "masked.conf"), "the config's")
	c := configOf(t, `{"passwd": {"users": [{"name": "games", "shouldExist": false}, {"name": "lp", "shouldExist": true}, {"name": "adm"}],
		"groups": [{"name": "plugdev", "shouldExist": false}, {"name": "kvm"}]}}`)
	f := FirstBoot{Log: &diary{}}
	for range 2 {
		if err := f.keepRemoved(c, root); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, filepath.Join(root, ownSysusers)); got != "basic.conf masked.conf" {
		t.Errorf("files %s", got)
	}
	text, err := os.ReadFile(filepath.Join(root, ownSysusers, "basic.conf"))
	if _, got, _ := strings.Cut(string(text), "\n"); err != nil || got != "# groups\ng adm 4 -\n\nu! lp 7 -\nm core adm\n" {
		t.Errorf("got %q, error %v", text, err)
	}
}

func TestForeignHome(t *testing.T) {
	dir := t.TempDir()
	own, passwd := filepath.Join(dir, "own"), filepath.Join(dir, "passwd")
	write(t, filepath.Join(own, "x"), "")
	if err := os.Chown(own, 1234, 1234); err != nil {
		t.Skip(err)
	}
	write(t, passwd, "root:x:0:0::/root:/bin/sh\nada:x:1234:1234::"+own+":/bin/sh\ngames:x:5:60::"+own+":/bin/sh\nirc:x:39:39::/nowhere:/bin/sh\nbad:x:y:0::/:/x\n")
	for user, want := range map[string]bool{"ada": false, "games": true, "irc": false, "nobody-here": false} {
		if _, got, err := foreignHome(passwd, user); got != want || err != nil {
			t.Errorf("%s: %v, error %v", user, got, err)
		}
	}
	if _, _, err := foreignHome(passwd, "bad"); err == nil {
		t.Error("a bad line is no error")
	}
}
