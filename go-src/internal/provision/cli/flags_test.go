package cli

import (
	"testing"

	"github.com/spf13/pflag"

	"coreos/internal/cli/exit"
	"coreos/internal/provision/netconf"
)

func TestNetconf(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want netconf.Form
		bad  bool
	}{
		"none":            {[]string{"--from-qemu"}, "", false},
		"named":           {[]string{"--from-qemu", "--convert-netconf=auto"}, netconf.Auto, false},
		"by OEM":          {[]string{"--oem=vmware"}, netconf.VMware, false},
		"OnMetal":         {[]string{"--oem=rackspace-onmetal"}, netconf.Debian, false},
		"in place of it":  {[]string{"--oem=vmware", "--convert-netconf=openstack"}, netconf.OpenStack, false},
		"not, for an OEM": {[]string{"--oem=vmware", "--convert-netconf="}, "", false},
		"unknown":         {[]string{"--from-qemu", "--convert-netconf=netplan"}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			var f flags
			set := pflag.NewFlagSet("", pflag.ContinueOnError)
			f.register(set)
			if err := set.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			if _, err := f.sources(set); err != nil {
				t.Fatal(err)
			}
			form, err := f.netconf()
			if status, _ := exit.Of(err); form != test.want || test.bad != (status == exit.Misuse) {
				t.Errorf("got %q, error %v", form, err)
			}
		})
	}
}
