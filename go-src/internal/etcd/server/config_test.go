package server

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/server/v3/embed"

	"coreos/internal/etcd/guard"
)

// TestLists finds each flag of upstream's whose value has to be taken when all are known.
func TestLists(t *testing.T) {
	set := flag.NewFlagSet("etcd", flag.ContinueOnError)
	embed.NewConfig().AddFlags(set)
	set.VisitAll(func(f *flag.Flag) {
		kind := reflect.TypeOf(f.Value).String()
		_, listed := lists[f.Name]
		if later := strings.HasPrefix(kind, "*flags."); later != listed {
			t.Errorf("--%s, of type %s: taken later: %t", f.Name, kind, listed)
		}
	})
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etcd.yml")
	if err := os.WriteFile(file, []byte("name: of-file\nlisten-client-urls: http://10.0.0.3:2379\nadvertise-client-urls: http://10.0.0.3:2379\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		args, env string
		want      func(o *options) bool
	}{
		"nothing": {want: func(o *options) bool {
			return o.Name == "default" && o.Dir == "default.etcd" && o.guard.Socket == "" && slices.Equal(o.guard.Protected, guard.System) && o.alone()
		}},
		"variables": {env: "ETCD_NAME=a ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1,http://127.0.0.1:2 ETCD_ADVERTISE_CLIENT_URLS=http://127.0.0.1:1 ETCD_INITIAL_CLUSTER_STATE=existing",
			want: func(o *options) bool {
				return len(o.ListenClientUrls) == 2 && o.ClusterState == "existing" && o.InitialCluster == "a=http://localhost:2380" && o.Dir == "a.etcd"
			}},
		"flags": {args: "--name b --heartbeat-interval=50 --max-concurrent-streams=7 --peer-cert-allowed-cn=x,y --snapshot=1 --discovery-fallback exit",
			want: func(o *options) bool {
				return o.Name == "b" && o.TickMs == 50 && o.MaxConcurrentStreams == 7 && len(o.PeerTLSInfo.AllowedCNs) == 2
			}},
		"a file": {args: "--config-file=" + file + " --coreos-trusted-names n1,n2", env: "ETCD_NAME=c ETCD_COREOS_SOCKET=/run/s",
			want: func(o *options) bool {
				return o.Name == "of-file" && o.ListenClientUrls[0].Host == "10.0.0.3:2379" && o.guard.Socket == "/run/s" && len(o.guard.Names) == 2
			}},
		"a file by variable": {env: "ETCD_CONFIG_FILE=" + file, want: func(o *options) bool { return o.Name == "of-file" && o.guard.Names == nil }},
		"the guard": {env: "ETCD_COREOS_TRUSTED_NETWORKS=10.9.0.4,10.9.1.0/24 ETCD_COREOS_PROTECTED_KEYS=/mine/",
			want: func(o *options) bool {
				return slices.Equal(o.guard.Networks, []netip.Prefix{netip.MustParsePrefix("10.9.0.4/32"), netip.MustParsePrefix("10.9.1.0/24")}) &&
					slices.Equal(o.guard.Protected, []string{"/mine/", "/_coreos.com/", "/coreos.com/"})
			}},
		"a cluster": {args: "--name a --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380 --initial-advertise-peer-urls http://10.0.0.1:2380",
			want: func(o *options) bool { return !o.alone() }},
		"one member for others": {args: "--name a --listen-peer-urls http://10.0.0.1:2380 --initial-cluster a=http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380",
			want: func(o *options) bool { return !o.alone() }},
		"discovery": {args: "--discovery-token x --discovery-endpoints http://10.0.0.9:2379", want: func(o *options) bool { return o.InitialCluster == "" && !o.alone() }},
		"by DNS":    {args: "--discovery-srv example.com", want: func(o *options) bool { return o.InitialCluster == "" && !o.alone() }},
	} {
		t.Run(what, func(t *testing.T) {
			for _, variable := range strings.Fields(test.env) {
				name, value, _ := strings.Cut(variable, "=")
				t.Setenv(name, value)
			}
			o, err := read(strings.Fields(test.args))
			if err != nil {
				t.Fatal(err)
			}
			if !test.want(o) {
				t.Errorf("got %+v, guard %+v", o.Config, o.guard)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for args, want := range map[string]error{
		"--help": flag.ErrHelp, "-h": flag.ErrHelp, "--version": errVersion, "--no-such-flag": errUsage, "start": errUsage,
		"--heartbeat-interval=x": errUsage, "--listen-client-urls http://10.0.0.1:2379": embed.ErrUnsetAdvertiseClientURLsFlag,
		"--config-file /none": os.ErrNotExist,
	} {
		if _, err := read(strings.Fields(args)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", args, err, want)
		}
	}
	t.Setenv(flags.FlagToEnv("ETCD", networksFlag), "10.9.0.0/40")
	if _, err := read(nil); err == nil || !strings.Contains(err.Error(), networksFlag) {
		t.Errorf("a bad network: %v", err)
	}
}
