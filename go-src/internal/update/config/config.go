// Package config reads what update-engine is told by files: update.conf, of which
// /etc/coreos/update.conf goes before /usr/share/coreos/update.conf line by line, and
// /usr/share/coreos/release, which says what the system is. Both have lines NAME=value,
// as CoreOS had them.
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

	"coreos/internal/host/keyvalue"
	"coreos/internal/update/release"
)

// Config is what the files say.
type Config struct {
	// Group is what an Omaha server calls a group of machines, and a repository a
	// channel.
	Group string
	// Server is the URL of an Omaha server; empty or "disabled" for none.
	Server string
	// Repository is the URL of a repository that is asked without a server.
	Repository string
	// Kexec restarts the machine by kexec (ACTIVATION=kexec) rather than by its firmware.
	Kexec bool
	// Pin is a version, or the beginning of one, that alone is installed.
	Pin string
	// AllowDowngrade takes older versions, too.
	AllowDowngrade bool
	Proxy          string
	// Bandwidth is in bytes per second, 0 for no limit.
	Bandwidth int
	// StartSpread bounds the random time between the start and the first question.
	StartSpread time.Duration
	// Interval is the time between two questions unless the server asks for another.
	Interval time.Duration

	// Metrics is the address to serve metrics on, "" for none.
	Metrics string

	// Version and Board are of the running system.
	Version, Board string
}

// ErrLocal says that the machine's own file is wrong.
var ErrLocal = errors.New("nobody is asked for updates until /etc/coreos/update.conf is right and update-engine restarted")

// Read reads the files below a root directory. If it is the machine's own file that is
// wrong, the error is ErrLocal, and the configuration that of a machine without it, that
// asks nobody.
func Read(root string) (*Config, error) {
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
	err = readFile(filepath.Join(root, "etc/coreos/update.conf"), values)
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
		err = errors.Join(err, fmt.Errorf("update configuration: %s=%.80q: %w", name, values[name], problem))
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
		err = errors.Join(err, fmt.Errorf("the release file says version %.80q for board %.80q", c.Version, c.Board))
	}
	return c, err
}
