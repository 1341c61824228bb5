package multicall

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		args     []string
		ran      []string // os.Args of the program that ran
		status   int
		out, err string // what they contain
	}{
		"by a link":                   {args: []string{"/usr/bin/etcd", "--version"}, ran: []string{"/usr/bin/etcd", "--version"}},
		"by a bare name":              {args: []string{"etcdctl", "get", "etcd"}, ran: []string{"etcdctl", "get", "etcd"}},
		"by an argument":              {args: []string{"/usr/lib/coreos/multicall", "etcd", "--help"}, ran: []string{"etcd", "--help"}},
		"by the path of a link":       {args: []string{"multicall", "/usr/bin/etcdctl", "get"}, ran: []string{"/usr/bin/etcdctl", "get"}},
		"help":                        {args: []string{"multicall", "--help"}, out: "multicall NAME [ARGUMENT]...:\n\n  etcd\n  etcdctl\n"},
		"no name":                     {args: []string{"/usr/lib/coreos/multicall"}, status: 2, err: `multicall: no command "multicall" in this binary; it has etcd, etcdctl`},
		"unknown link":                {args: []string{"/usr/bin/fleetd", "guard"}, status: 2, err: `fleetd: no command "fleetd" in this binary; it has etcd, etcdctl`},
		"argument of an unknown link": {args: []string{"/usr/bin/fleetd", "etcd"}, status: 2, err: `fleetd: no command "fleetd"`},
		"unknown argument":            {args: []string{"multicall", "fleetd"}, status: 2, err: `multicall: no command "fleetd" in this binary; it has etcd, etcdctl`},
		"without arguments":           {args: nil, status: 2, err: "it has etcd, etcdctl"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func(args []string) { os.Args = args }(os.Args)
			cobra.EnablePrefixMatching = true // as etcdctl's package leaves it
			defer func() { cobra.EnablePrefixMatching = false }()
			var ran []string
			program := func() {
				ran = os.Args
				if cobra.EnablePrefixMatching {
					t.Error("etcdctl's setting is still there")
				}
			}
			var out, err strings.Builder
			status := Run(Programs{"etcd": program, "etcdctl": program}, test.args, &out, &err)
			if status != test.status || !slices.Equal(ran, test.ran) || !strings.Contains(out.String(), test.out) || !strings.Contains(err.String(), test.err) {
				t.Errorf("status %d, ran %q, out %q, err %q", status, ran, out.String(), err.String())
			}
		})
	}
}
