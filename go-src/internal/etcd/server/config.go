package server

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"
	"go.uber.org/zap"

	"coreos/internal/etcd/guard"
)

// errUsage is the error of a wrong command line, errVersion that of --version. With --help the error is
// flag.ErrHelp.
var (
	errUsage   = errors.New("wrong command line")
	errVersion = errors.New("only the version is wanted")
)

// options are the configuration of etcd: that of upstream, and that of the guard.
type options struct {
	*embed.Config
	guard guard.Policy
}

// ignored are flags without a value that upstream's etcd takes and does not use.
const ignored = "cluster-active-size cluster-remove-delay cluster-sync-interval config force " +
	"max-result-buffer max-retry-attempts peer-heartbeat-interval peer-election-timeout retry-interval snapshot v vv"

// ours are the flags that upstream's etcd does not have.
const (
	socketFlag    = "coreos-socket"
	namesFlag     = "coreos-trusted-names"
	networksFlag  = "coreos-trusted-networks"
	protectedFlag = "coreos-protected-keys"
)

// own adds the flags of the guard.
func own(set *flag.FlagSet) {
	set.String(socketFlag, "", "Path of the socket whose clients may change everything. Without it, all clients may.")
	set.Var(flags.NewStringsValue(""), namesFlag, "Common names of the client certificates that are trusted, with commas. Without names all are.")
	set.Var(flags.NewStringsValue(""), networksFlag, "Addresses and networks that are trusted without a certificate, with commas.")
	set.Var(flags.NewStringsValue(""), protectedFlag, "Prefixes of keys that are protected in addition, with commas.")
}

// lists are the flags whose values are read when all are known, as upstream's main does.
var lists = map[string]func(*embed.Config, *flag.FlagSet, string){
	"listen-peer-urls":            func(c *embed.Config, s *flag.FlagSet, n string) { c.ListenPeerUrls = flags.UniqueURLsFromFlag(s, n) },
	"initial-advertise-peer-urls": func(c *embed.Config, s *flag.FlagSet, n string) { c.AdvertisePeerUrls = flags.UniqueURLsFromFlag(s, n) },
	"listen-client-urls":          func(c *embed.Config, s *flag.FlagSet, n string) { c.ListenClientUrls = flags.UniqueURLsFromFlag(s, n) },
	"listen-client-http-urls": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.ListenClientHttpUrls = flags.UniqueURLsFromFlag(s, n)
	},
	"advertise-client-urls": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.AdvertiseClientUrls = flags.UniqueURLsFromFlag(s, n)
	},
	"listen-metrics-urls": func(c *embed.Config, s *flag.FlagSet, n string) { c.ListenMetricsUrls = flags.UniqueURLsFromFlag(s, n) },
	"discovery-endpoints": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.DiscoveryCfg.Endpoints = flags.UniqueStringsFromFlag(s, n)
	},
	"cors": func(c *embed.Config, s *flag.FlagSet, n string) { c.CORS = flags.UniqueURLsMapFromFlag(s, n) },
	"host-whitelist": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.HostWhitelist = flags.UniqueStringsMapFromFlag(s, n)
	},
	"client-cert-allowed-hostname": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.ClientTLSInfo.AllowedHostnames = flags.StringsFromFlag(s, n)
	},
	"peer-cert-allowed-cn": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.PeerTLSInfo.AllowedCNs = flags.StringsFromFlag(s, n)
	},
	"peer-cert-allowed-hostname": func(c *embed.Config, s *flag.FlagSet, n string) {
		c.PeerTLSInfo.AllowedHostnames = flags.StringsFromFlag(s, n)
	},
	"cipher-suites":          func(c *embed.Config, s *flag.FlagSet, n string) { c.CipherSuites = flags.StringsFromFlag(s, n) },
	"max-concurrent-streams": func(c *embed.Config, s *flag.FlagSet, n string) { c.MaxConcurrentStreams = flags.Uint32FromFlag(s, n) },
	"log-outputs":            func(c *embed.Config, s *flag.FlagSet, n string) { c.LogOutputs = flags.UniqueStringsFromFlag(s, n) },
}

// read reads the command line, the environment and the configuration file of etcd.
func read(args []string) (*options, error) {
	o := &options{Config: embed.NewConfig()}
	alone := o.InitialCluster
	set := flag.NewFlagSet("etcd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	o.AddFlags(set)
	own(set)
	for _, name := range strings.Fields(ignored) {
		set.Var(&flags.IgnoredFlag{Name: name}, name, "")
	}
	_ = set.String("discovery-fallback", "exit", "")
	_ = set.String("v2-deprecation", "", "")
	file := set.String("config-file", os.Getenv("ETCD_CONFIG_FILE"), "")
	version := set.Bool("version", false, "")
	state := flags.NewSelectiveStringValue(embed.ClusterStateFlagNew, embed.ClusterStateFlagExisting)
	set.Var(state, "initial-cluster-state", "")
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	case *version:
		return nil, errVersion
	case set.NArg() > 0:
		return nil, fmt.Errorf("%w: %q is not a flag", errUsage, set.Arg(0))
	}
	var err error
	if *file != "" {
		if o.Config, err = embed.ConfigFromFile(*file); err != nil {
			return nil, fmt.Errorf("%s: %w", *file, err)
		}
		set = ownFlags(set)
	} else if err = o.take(set, state); err != nil {
		return nil, err
	}
	if err := o.finish(set); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	_, err = o.UpdateDefaultClusterFromName(alone)
	if err != nil {
		o.GetLogger().Info("no default address to advertise", zap.Error(err))
	}
	return o, nil
}

// take takes what the flags and the environment say.
func (o *options) take(set *flag.FlagSet, state *flags.SelectiveStringValue) error {
	lg, err := logutil.CreateDefaultZapLogger(zap.WarnLevel)
	if err != nil {
		return err
	}
	if err := flags.SetFlagsFromEnv(lg, "ETCD", set); err != nil {
		return err
	}
	for name, take := range lists {
		take(o.Config, set, name)
	}
	o.ClusterState = state.String()
	if flags.IsSet(set, "listen-client-urls") && !flags.IsSet(set, "advertise-client-urls") {
		o.AdvertiseClientUrls = nil // Validate then says that they are missing
	}
	if found := o.DNSCluster != "" || o.DNSClusterServiceName != "" || len(o.DiscoveryCfg.Endpoints) > 0; found && !flags.IsSet(set, "initial-cluster") {
		o.InitialCluster = ""
	}
	set.Visit(func(f *flag.Flag) { o.FlagsExplicitlySet[f.Name] = true })
	return nil
}

// ownFlags returns the flags of the guard from the command line and the environment, which a
// configuration file of etcd cannot set.
func ownFlags(from *flag.FlagSet) *flag.FlagSet {
	set := flag.NewFlagSet("etcd", flag.ContinueOnError)
	own(set)
	set.VisitAll(func(f *flag.Flag) {
		value := from.Lookup(f.Name).Value.String()
		if value == "" {
			value = os.Getenv(flags.FlagToEnv("ETCD", f.Name))
		}
		_ = set.Set(f.Name, value)
	})
	return set
}

// finish sets what does not depend on where the configuration comes from.
func (o *options) finish(set *flag.FlagSet) (err error) {
	o.V2Deprecation = config.V2DeprDefault
	if o.Dir == "" {
		o.Dir = o.Name + ".etcd"
	}
	rafthttp.ConnReadTimeout = max(rafthttp.ConnReadTimeout, rafthttp.DefaultConnReadTimeout)
	rafthttp.ConnWriteTimeout = max(rafthttp.ConnWriteTimeout, rafthttp.DefaultConnWriteTimeout)
	if o.WarningUnaryRequestDuration == 0 {
		o.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	}
	o.guard = guard.Policy{Socket: set.Lookup(socketFlag).Value.String(), Names: list(set, namesFlag), Protected: append(list(set, protectedFlag), guard.System...)}
	if o.guard.Networks, err = guard.ParseNetworks(list(set, networksFlag)); err != nil {
		return fmt.Errorf("--%s: %w", networksFlag, err)
	}
	return nil
}

func list(set *flag.FlagSet, name string) (all []string) {
	for _, item := range flags.StringsFromFlag(set, name) {
		if item != "" {
			all = append(all, item)
		}
	}
	return all
}

// alone reports whether the configuration names no other member, and peers could reach this one only
// from the machine itself.
func (o *options) alone() bool {
	if o.DNSCluster != "" || len(o.DiscoveryCfg.Endpoints) > 0 {
		return false
	}
	for member := range strings.SplitSeq(o.InitialCluster, ",") {
		if name, _, _ := strings.Cut(member, "="); name != o.Name {
			return false
		}
	}
	return !slices.ContainsFunc(o.ListenPeerUrls, func(u url.URL) bool {
		ip, err := netip.ParseAddr(u.Hostname())
		return u.Scheme != "http" || u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
	})
}
