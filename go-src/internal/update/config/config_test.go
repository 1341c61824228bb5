package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/host/treetest"
)

const (
	goodRelease = "COREOS_RELEASE_VERSION=4891.0.0\nCOREOS_RELEASE_BOARD=amd64-usr\n"
	shipped     = "# a comment\nGROUP=stable\nSERVER=https://update.example.com/v1/update/\nREBOOT_STRATEGY=reboot\nSTART_SPREAD=7m\nINTERVAL=45m\n"
)

func readTree(root string) (*Config, error) { return Read(root, filepath.Join(root, Own)) }

func read(t *testing.T, etc string) (*Config, error) {
	t.Helper()
	return readTree(treetest.Dir(t, map[string]string{"usr/share/coreos/release": goodRelease, "usr/share/coreos/update.conf": shipped, "etc/coreos/update.conf": etc}))
}

func TestRead(t *testing.T) {
	want := Config{
		Group: "stable", Server: "https://update.example.com/v1/update/",
		StartSpread: 7 * time.Minute, Interval: 45 * time.Minute, Version: "4891.0.0", Board: "amd64-usr",
	}
	got, err := readTree(treetest.Dir(t, map[string]string{"usr/share/coreos/release": goodRelease, "usr/share/coreos/update.conf": shipped}))
	if err != nil || *got != want {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = read(t, "GROUP=\"beta\"\nSERVER=disabled\nREPOSITORY='http://10.0.2.2:8000/'\nPIN=4891.\nALLOW_DOWNGRADE=true\nBANDWIDTH_LIMIT=1000000\nREBOOT_STRATEGY=off\nACTIVATION=kexec\n")
	want.Group, want.Server, want.Repository, want.Pin = "beta", "", "http://10.0.2.2:8000/", "4891."
	want.AllowDowngrade, want.Bandwidth = true, 1000000
	want.Kexec = true
	if err != nil || *got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for etc, want := range map[string]string{
		"GROUP stable":                             "line 1",
		"SERVER=update.example.com":                "SERVER",
		"SERVER=file:///etc":                       "SERVER",
		"PROXY=:::":                                "PROXY",
		"SERVER=\nREPOSITORY=ftp://x/":             "REPOSITORY",
		"SERVER=\nREPOSITORY=http://x\nGROUP=../x": "GROUP",
		"ALLOW_DOWNGRADE=perhaps":                  "ALLOW_DOWNGRADE",
		"BANDWIDTH_LIMIT=-1":                       "BANDWIDTH_LIMIT",
		"METRICS=9102":                             "METRICS",
		"ACTIVATION=magic":                         "ACTIVATION",
		"INTERVAL=45":                              "INTERVAL",
		"COREOS_RELEASE_BOARD=../x":                "release file",
		strings.Repeat("x=y\n", 20000):             "too large",
	} {
		c, err := read(t, etc)
		if !errors.Is(err, ErrLocal) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v", etc, err)
		}
		if c == nil || c.Version != "4891.0.0" || c.Server != "" || c.Repository != "" {
			t.Errorf("%.40q: configuration %+v", etc, c)
		}
	}
	if _, err := readTree(t.TempDir()); err == nil || errors.Is(err, ErrLocal) {
		t.Errorf("no files at all: error %v", err)
	}
}
