package main

import (
	"errors"
	"testing"

	"github.com/spf13/pflag"

	"coreos/internal/provision/netconf"
)

func TestNetconf(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want netconf.Form
		err  error
	}{
		"none":            {[]string{"--from-qemu"}, "", nil},
		"named":           {[]string{"--from-qemu", "--convert-netconf=auto"}, netconf.Auto, nil},
		"by OEM":          {[]string{"--oem=vmware"}, netconf.VMware, nil},
		"OnMetal":         {[]string{"--oem=rackspace-onmetal"}, netconf.Debian, nil},
		"in place of it":  {[]string{"--oem=vmware", "--convert-netconf=openstack"}, netconf.OpenStack, nil},
		"not, for an OEM": {[]string{"--oem=vmware", "--convert-netconf="}, "", nil},
		"unknown":         {[]string{"--from-qemu", "--convert-netconf=netplan"}, "", errUsage},
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
			if form, err := f.netconf(); form != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %q, error %v", form, err)
			}
		})
	}
}
