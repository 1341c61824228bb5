package cloudinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"coreos/internal/provision/cloudconfig"
)

// coreOwns gives files to the user core, as useradd does.
func (m *machine) coreOwns(names ...string) {
	m.t.Helper()
	for _, name := range names {
		m.must(os.Lchown(filepath.Join(m.dir, name), 500, 500))
	}
}

var coreKey = &cloudconfig.Config{SSHAuthorizedKeys: []string{"ssh-rsa A"}}

// TestUsersLinks has links of a user, who wants root to write elsewhere.
func TestUsersLinks(t *testing.T) {
	file := func(path string) *cloudconfig.Config {
		return &cloudconfig.Config{WriteFiles: []cloudconfig.File{{Path: path, Data: []byte("new"), Mode: 0o644, Owner: "core"}}}
	}
	for name, test := range map[string]struct {
		link, target string
		config       *cloudconfig.Config
	}{
		"keys":                  {"home/core/.ssh", "/root/.ssh", coreKey},
		"keys, one further":     {"home/core/.ssh/authorized_keys.d", "/root/.ssh", coreKey},
		"a file":                {"home/core/conf", "/root/.ssh", file("/home/core/conf/coreos-cloudinit")},
		"a file, and back":      {"home/core/conf", "../../root", file("/home/core/conf/.ssh/coreos-cloudinit")},
		"a directory to make":   {"home/core/conf", "/root/.ssh/made", file("/home/core/conf/coreos-cloudinit")},
		"a unit of the machine": {"home/core/units", "/root", file("/home/core/units/.ssh/coreos-cloudinit")},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.put("root/.ssh/coreos-cloudinit", "root's")
			m.coreOwns("home/core")
			link := filepath.Join(m.dir, test.link)
			if dir := filepath.Dir(link); dir != m.dir+"/home/core" {
				m.must(os.Mkdir(dir, 0o700))
				m.coreOwns(strings.TrimPrefix(dir, m.dir))
			}
			m.must(os.Symlink(test.target, link))
			m.coreOwns(test.link)
			if _, err := m.apply(test.config); err == nil {
				t.Error("no error")
			}
			m.want("root/.ssh/coreos-cloudinit", "root's")
			if entries, _ := os.ReadDir(m.dir + "/root/.ssh"); len(entries) != 1 {
				t.Errorf("root's directory has %v", entries)
			}
		})
	}
}

// TestRootsLinks may lead anywhere in the tree, also from a user's directory.
func TestRootsLinks(t *testing.T) {
	m := newMachine(t)
	m.put("var/data/x", "")
	m.must(os.Symlink("/var/data", m.dir+"/home/core/data"))
	m.must(os.Symlink("loop", m.dir+"/loop"))
	c := &cloudconfig.Config{WriteFiles: []cloudconfig.File{{Path: "/home/core/data/y/z", Data: []byte("new"), Mode: 0o644}, {Path: "/loop/x", Mode: 0o644}}}
	if _, err := m.apply(c); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a loop of links: %v", err)
	}
	m.want("var/data/y/z", "new")
}

// TestUserSwapsDirectories has a user who replaces .ssh by a link again and again.
func TestUserSwapsDirectories(t *testing.T) {
	m := newMachine(t)
	m.put("root/.ssh/authorized_keys.d/own", "root's")
	m.coreOwns("home/core")
	ssh := m.dir + "/home/core/.ssh"
	m.must(os.Symlink("../../root/.ssh", ssh+"-link"))
	m.coreOwns("home/core/.ssh-link")
	m.put("home/core/.ssh/authorized_keys.d/x", "")
	m.coreOwns("home/core/.ssh", "home/core/.ssh/authorized_keys.d")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = unix.Renameat2(unix.AT_FDCWD, ssh, unix.AT_FDCWD, ssh+"-link", unix.RENAME_EXCHANGE)
		}
	}()
	for i := range 2000 {
		_, _ = m.apply(&cloudconfig.Config{SSHAuthorizedKeys: []string{fmt.Sprintf("ssh-rsa %d", i)}})
		if names, err := os.ReadDir(m.dir + "/root/.ssh/authorized_keys.d"); err != nil || len(names) != 1 {
			t.Errorf("root has written %v, %v", names, err)
			break
		}
	}
	close(stop)
	<-stopped
}

// TestKeysAreTheUsers has a home that is the user's, and one that only root can write.
func TestKeysAreTheUsers(t *testing.T) {
	for _, home := range []int{0, 500} {
		m := newMachine(t)
		m.must(os.Lchown(m.dir+"/home/core", home, home))
		if _, err := m.apply(coreKey); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{".ssh": 0o700, ".ssh/authorized_keys.d": 0o700, ".ssh/authorized_keys.d/coreos-cloudinit": 0o600} {
			info, err := os.Lstat(filepath.Join(m.dir, "home/core", name))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 500 || owner.Gid != 500 || info.Mode().Perm() != mode {
				t.Errorf("%s belongs to %d:%d and has mode %v", name, owner.Uid, owner.Gid, info.Mode())
			}
		}
		if os.Geteuid() != 0 {
			t.Error("this process is no longer root's")
		}
	}
}
