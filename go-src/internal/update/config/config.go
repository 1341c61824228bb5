// Package config reads the configuration of update-engine: /usr/share/coreos/update.conf,
// /etc/coreos/update.conf, whose lines replace the shipped ones, and
// /usr/share/coreos/release, which names the version and the board. All have lines
// NAME=value, as in CoreOS.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"coreos/internal/cli/redact"
	"coreos/internal/host/keyvalue"
	"coreos/internal/update/release"
)

// Config is the configuration.
type Config struct {
	// Group is the name of the group of machines on an Omaha server, or of the channel of a
	// repository.
	Group string
	// Server is the URL of an Omaha server. It is empty for none, which "disabled" in the
	// file stands for.
	Server string
	// Repository is the URL of a repository, which is used if there is no server.
	Repository string
	// Kexec (ACTIVATION=kexec) restarts the machine by kexec, without its firmware.
	Kexec bool
	// Pin is a version or the beginning of one. If it is set, no other version is
	// installed.
	Pin string
	// AllowDowngrade permits versions that are older than the running one.
	AllowDowngrade bool
	Proxy          string
	// Bandwidth is in bytes per second, 0 for no limit.
	Bandwidth int
	// StartSpread is the longest random time between the start and the first update check.
	StartSpread time.Duration
	// Interval is the time between two update checks, unless the server asks for another.
	Interval time.Duration

	// Metrics is the address on which metrics are served, empty for none.
	Metrics string

	// Version and Board are those of the running system.
	Version, Board string
}

// ErrLocal says that /etc/coreos/update.conf is wrong.
var ErrLocal = errors.New("the machine gets no updates: correct /etc/coreos/update.conf and restart update-engine")

// Own is the machine's own file, below a root directory.
const Own = "etc/coreos/update.conf"

// Read reads the files below a root directory, and the machine's own file, whose path is own: that
// of Own, or of a copy that the daemon's user may read. If only the machine's own file is wrong,
// Read returns ErrLocal together with the shipped configuration, in which neither a server
// nor a repository is set.
func Read(root, own string) (*Config, error) {
	values := map[string]string{}
	for _, file := range []string{"usr/share/coreos/release", "usr/share/coreos/update.conf"} {
		if err := readFile(filepath.Join(root, file), values); err != nil {
			return nil, err
		}
	}
	shipped, err := parse(values)
	if err != nil {
		return nil, err
	}
	err = readFile(own, values)
	if errors.Is(err, fs.ErrNotExist) {
		return shipped, nil
	}
	var c *Config
	if err == nil {
		c, err = parse(values)
	}
	if err != nil {
		shipped.Server, shipped.Repository = "", ""
		return shipped, fmt.Errorf("%w: %w", err, ErrLocal)
	}
	return c, nil
}

func readFile(path string, values map[string]string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("update configuration: %w", err)
	}
	defer file.Close()
	lines, err := keyvalue.Read(file, "#")
	if err != nil {
		return fmt.Errorf("update configuration: %s: %w", path, err)
	}
	for _, line := range lines {
		values[line.Name] = keyvalue.Unquote(line.Value)
	}
	return nil
}

func parse(values map[string]string) (*Config, error) {
	c := &Config{
		Group: values["GROUP"], Server: values["SERVER"], Repository: values["REPOSITORY"],
		Pin: values["PIN"], Metrics: values["METRICS"], Proxy: values["PROXY"],
		Version: values["COREOS_RELEASE_VERSION"], Board: values["COREOS_RELEASE_BOARD"],
	}
	if c.Server == "disabled" {
		c.Server = ""
	}
	var err error
	fail := func(name string, problem error) {
		err = errors.Join(err, fmt.Errorf("update configuration: %s=%.80q: %w", name, redact.URL(values[name]), problem))
	}
	for name, address := range map[string]string{"SERVER": c.Server, "REPOSITORY": c.Repository, "PROXY": c.Proxy} {
		if u, problem := url.Parse(address); address != "" && (problem != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			fail(name, errors.New("want a URL with http or https"))
		}
	}
	if c.Repository != "" && c.Server == "" && !release.ValidName(c.Group) {
		fail("GROUP", errors.New("want the name of a channel, such as stable"))
	}
	switch values["ACTIVATION"] {
	case "", "reboot":
	case "kexec":
		c.Kexec = true
	default:
		fail("ACTIVATION", errors.New("want reboot or kexec"))
	}
	if value := values["ALLOW_DOWNGRADE"]; value != "" {
		var problem error
		if c.AllowDowngrade, problem = strconv.ParseBool(value); problem != nil {
			fail("ALLOW_DOWNGRADE", errors.New("want true or false"))
		}
	}
	if _, _, problem := net.SplitHostPort(c.Metrics); c.Metrics != "" && problem != nil {
		fail("METRICS", errors.New("want an address such as 127.0.0.1:9102"))
	}
	if value := values["BANDWIDTH_LIMIT"]; value != "" {
		var problem error
		if c.Bandwidth, problem = strconv.Atoi(value); problem != nil || c.Bandwidth < 1 {
			fail("BANDWIDTH_LIMIT", errors.New("want bytes per second"))
		}
	}
	for name, to := range map[string]*time.Duration{"START_SPREAD": &c.StartSpread, "INTERVAL": &c.Interval} {
		var problem error
		if *to, problem = time.ParseDuration(values[name]); problem != nil || *to < 0 {
			fail(name, errors.New("want a duration such as 45m"))
		}
	}
	if !release.ValidVersion(c.Version) || !release.ValidName(c.Board) {
		err = errors.Join(err, fmt.Errorf("the release file names version %.80q and board %.80q: one of them is not valid", c.Version, c.Board))
	}
	return c, err
}
