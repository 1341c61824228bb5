package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"coreos/internal/cli/envflags"
	"coreos/internal/etcd/conn"
	"coreos/internal/fleet/api"
	"coreos/internal/fleet/store"
	"coreos/internal/fleet/unitmanager"
	"coreos/internal/host/keyvalue"
)

// DefaultFile is the file of settings if no other file is named.
const DefaultFile = "/etc/fleet/fleet.conf"

// Settings are the settings of fleet.conf, with upstream's names
// (https://github.com/coreos/fleet/blob/v1.0.0/Documentation/deployment-and-configuration.md).
type Settings struct {
	Etcd        conn.Config
	KeyPrefix   string
	PublicIP    string
	Metadata    map[string]string
	TTL         time.Duration
	Verbosity   int
	TokenLimit  int
	NeverLeads  bool
	Directory   string // of unit files
	MaxUnits    int
	KeepUnits   bool
	MetricsAddr string
	API         APISettings
}

// APISettings say who may use the API over TCP. The socket's group says who may use the unix socket.
type APISettings struct {
	CertFile, KeyFile, CAFile string
	// Writers are the names in client certificates that may change the cluster; "*" is all names.
	Writers []string
	// Insecure serves everybody over TCP, without TLS.
	Insecure bool
}

// Read reads a file of settings and the environment variables FLEET_*, which override the file. A
// missing DefaultFile counts as empty; any other file must exist.
func Read(file string, lookup func(string) (string, bool)) (Settings, error) {
	asked := file != ""
	if !asked {
		file = DefaultFile
	}
	var s Settings
	flags := s.flags()
	if err := envflags.Set(flags, "FLEET", notEmpty(lookup)); err != nil {
		return s, err
	}
	switch f, err := os.Open(file); {
	case err == nil:
		defer f.Close()
		if err := readFile(f, flags); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
	case asked || !errors.Is(err, os.ErrNotExist):
		return s, err
	}
	return s, s.finish(flags)
}

// ReadDaemons reads the settings of the daemon in another process. These include the environment
// that drop-ins of fleet.service set.
func ReadDaemons(ctx context.Context, file string) (Settings, error) {
	service, err := unitmanager.Environment(ctx, "fleet.service")
	if err != nil {
		return Settings{}, err
	}
	return Read(file, func(name string) (string, bool) {
		if value, there := os.LookupEnv(name); there {
			return value, true
		}
		value, there := service[name]
		return value, there
	})
}

// notEmpty returns a lookup that ignores empty variables, as upstream does.
func notEmpty(lookup func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := lookup(name)
		return value, ok && value != ""
	}
}

// flags returns the settings by name. Settings of upstream that fleet does not need are accepted
// and have no effect.
func (s *Settings) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("fleetd", pflag.ContinueOnError)
	f.String("etcd_servers", conn.Default, "")
	f.StringVar(&s.Etcd.Username, "etcd_username", "", "")
	f.StringVar(&s.Etcd.Password, "etcd_password", "", "")
	f.StringVar(&s.Etcd.KeyFile, "etcd_keyfile", "", "")
	f.StringVar(&s.Etcd.CertFile, "etcd_certfile", "", "")
	f.StringVar(&s.Etcd.CAFile, "etcd_cafile", "", "")
	f.StringVar(&s.KeyPrefix, "etcd_key_prefix", store.DefaultPrefix, "")
	f.StringVar(&s.PublicIP, "public_ip", "", "")
	f.String("metadata", "", "")
	f.DurationVar(&s.TTL, "agent_ttl", 30*time.Second, "")
	f.StringVar(&s.Directory, "units_directory", "/run/fleet/units/", "")
	f.IntVar(&s.TokenLimit, "token_limit", api.PageSize, "")
	f.IntVar(&s.Verbosity, "verbosity", 0, "")
	f.BoolVar(&s.NeverLeads, "disable_engine", false, "")
	for name, value := range map[string]string{
		"etcd_request_timeout": "1.0", "engine_reconcile_interval": "2.0", "enable_grpc": "false",
		"disable_watches": "false", "verify_units": "false", "authorized_keys_file": "",
	} {
		f.String(name, value, "")
	}
	f.Bool("systemd_user", false, "")

	f.IntVar(&s.MaxUnits, "max_units", 0, "")
	f.String("cut_off", "stop", "")
	f.StringVar(&s.MetricsAddr, "metrics_address", "", "")
	f.StringVar(&s.API.CertFile, "api_certfile", "", "")
	f.StringVar(&s.API.KeyFile, "api_keyfile", "", "")
	f.StringVar(&s.API.CAFile, "api_cafile", "", "")
	f.String("api_writers", "", "")
	f.BoolVar(&s.API.Insecure, "api_insecure", false, "")
	return f
}

// readFile sets what the environment has not set. A line is NAME=VALUE, with or without quotes.
// Lines that begin with # or ; are comments, and [sections] are ignored. The last line of a name
// counts.
func readFile(r io.Reader, flags *pflag.FlagSet) error {
	lines, err := keyvalue.Read(r, "#;[")
	if err != nil {
		return err
	}
	environment := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { environment[f.Name] = true })
	for _, line := range lines {
		name := strings.TrimSpace(line.Name)
		if flags.Lookup(name) == nil {
			return fmt.Errorf("line %d: there is no setting %.80q", line.Number, name)
		}
		if environment[name] {
			continue
		}
		if err := flags.Set(name, keyvalue.Unquote(strings.TrimSpace(line.Value))); err != nil {
			return fmt.Errorf("line %d: %w", line.Number, err)
		}
	}
	return nil
}

// minTTL is the shortest lease that leaves time for a late renewal.
const minTTL = 3 * time.Second

// finish sets the settings that have to be parsed, and checks all.
func (s *Settings) finish(flags *pflag.FlagSet) error {
	text := func(name string) string { return flags.Lookup(name).Value.String() }
	s.Etcd.Endpoints, s.API.Writers = list(text("etcd_servers")), list(text("api_writers"))
	s.Metadata = map[string]string{}
	for _, pair := range strings.Split(text("metadata"), ",") {
		key, value, ok := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			if key != "" {
				slog.Warn("a part of the setting metadata is not KEY=VALUE, and does not count", "part", key)
			}
			continue
		}
		if _, twice := s.Metadata[key]; twice {
			slog.Warn("the setting metadata has a key twice: the last value counts", "key", key, "value", value)
		}
		s.Metadata[key] = value
	}
	switch text("cut_off") {
	case "stop":
	case "keep":
		s.KeepUnits = true
	default:
		return fmt.Errorf("cut_off=%q: want stop or keep", text("cut_off"))
	}
	switch {
	case text("systemd_user") == "true":
		return errors.New("systemd_user is not supported")
	case s.TTL < minTTL:
		return fmt.Errorf("agent_ttl=%s: want %s or more", s.TTL, minTTL)
	case s.MaxUnits < 0:
		return fmt.Errorf("max_units=%d: want 0, for any number, or more", s.MaxUnits)
	case s.TokenLimit < 1 || s.TokenLimit > 1000:
		return fmt.Errorf("token_limit=%d: want 1 to 1000", s.TokenLimit)
	case (s.API.CertFile == "") != (s.API.KeyFile == ""):
		return errors.New("api_certfile and api_keyfile must be set together")
	}
	return nil
}

// list reads a list as upstream writes it: ["http://a", "http://b"], or with commas alone. It
// ignores quotes, because readFile has removed those at both ends of a line.
func list(text string) []string {
	var all []string
	for _, item := range strings.Split(strings.Trim(strings.TrimSpace(text), "[]"), ",") {
		if item = strings.TrimFunc(item, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '\'' }); item != "" {
			all = append(all, item)
		}
	}
	return all
}
