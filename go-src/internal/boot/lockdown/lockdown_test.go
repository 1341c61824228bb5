package lockdown

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"coreos/internal/host/treetest"
)

var errNoModule = errors.New("not a module")

// kernel makes a kernel of files. Files cannot answer, so that what was written stays.
func kernel(t *testing.T, files map[string]string) Kernel {
	t.Helper()
	dir := t.TempDir()
	treetest.Write(t, dir, files)
	return Kernel{Security: filepath.Join(dir, "security"), Sysctl: filepath.Join(dir, "sys"),
		Load: func(string) error { return errNoModule }}
}

func TestEngage(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		after string
		fails bool
	}{
		"already":   {map[string]string{"security/lockdown": "none [integrity] confidentiality\n"}, "none [integrity] confidentiality\n", false},
		"stricter":  {map[string]string{"security/lockdown": "none integrity [confidentiality]\n"}, "none integrity [confidentiality]\n", false},
		"no effect": {map[string]string{"security/lockdown": "[none] integrity confidentiality\n"}, "integrity", true},
		"no levels": {map[string]string{"security/lockdown": "\n"}, "\n", true},
		"missing":   {map[string]string{"security/other": ""}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			k := kernel(t, test.files)
			if err := k.Engage(); (err != nil) != test.fails {
				t.Errorf("error %v", err)
			}
			if after, _ := os.ReadFile(filepath.Join(k.Security, "lockdown")); string(after) != test.after {
				t.Errorf("got %q", after)
			}
		})
	}
}

func TestPin(t *testing.T) {
	t.Run("a kernel without LoadPin", func(t *testing.T) {
		k := kernel(t, map[string]string{"sys/kernel/panic": "5\n"})
		if err := k.Pin("/usr/lib/os-release"); err != nil {
			t.Error(err)
		}
	})
	t.Run("a kernel that lets LoadPin be switched off", func(t *testing.T) {
		k := kernel(t, map[string]string{"sys/kernel/loadpin/enforce": "0\n"})
		if err := k.Pin("/usr/lib/os-release"); !errors.Is(err, errNoModule) {
			t.Errorf("error %v does not say that nothing was loaded", err)
		}
		if left, _ := os.ReadFile(filepath.Join(k.Sysctl, "kernel/loadpin/enforce")); string(left) != "0" {
			t.Errorf("LoadPin is left at %q", left)
		}
	})
	t.Run("pinned", func(t *testing.T) {
		k := kernel(t, map[string]string{"sys/kernel/loadpin/enforce": "0\n"})
		enforce := filepath.Join(k.Sysctl, "kernel/loadpin/enforce")
		k.Load = func(string) error {
			// Nothing can be written to a directory, as nothing but 1 to the pinned kernel.
			if err := os.Remove(enforce); err != nil {
				return err
			}
			return os.Mkdir(enforce, 0o755)
		}
		if err := k.Pin("/usr/lib/os-release"); err != nil {
			t.Error(err)
		}
	})
}
