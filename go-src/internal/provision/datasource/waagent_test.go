package datasource

import (
	"path/filepath"
	"testing"

	"coreos/internal/host/treetest"
)

var azureOVF = "\uFEFF" + `<?xml version="1.0" encoding="utf-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure">
  <wa:ProvisioningSection><wa:Version>1.0</wa:Version>
    <LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure">
      <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>
      <HostName>one</HostName><UserName>core</UserName><UserPassword>*</UserPassword>
      <SSH><PublicKeys>
        <PublicKey><Fingerprint>AB12</Fingerprint><Path>/home/core/.ssh/authorized_keys</Path><Value>ssh-rsa AAAA one</Value></PublicKey>
        <PublicKey><Fingerprint>CD34</Fingerprint><Path>/home/core/.ssh/authorized_keys</Path></PublicKey>
      </PublicKeys></SSH>
      <CustomData>` + base64Of(config) + `</CustomData>
    </LinuxProvisioningConfigurationSet>
  </wa:ProvisioningSection>
</Environment>`

const sharedConfig = `<?xml version="1.0" encoding="utf-8"?>
<SharedConfig version="1.0.0.0" goalStateIncarnation="1">
  <Incarnation number="1" instance="two" guid="{8767eb4b}" />
  <Instances>
    <Instance id="one" address="10.0.0.4"><InputEndpoints /></Instance>
    <Instance id="two" address="10.0.0.5"><InputEndpoints>
      <Endpoint name="open" address="10.0.0.5" protocol="any" isPublic="false" />
      <Endpoint name="ssh" address="10.0.0.5:22" protocol="tcp" isPublic="true" loadBalancedPublicAddress="203.0.113.25:22" />
    </InputEndpoints></Instance>
  </Instances>
</SharedConfig>`

func TestAzureAgent(t *testing.T) {
	const provisioned, ovf, custom, shared = "provisioned", "ovf-env.xml", "CustomData", "SharedConfig.xml"
	tests := map[string]struct {
		files   map[string]string
		want    *Data
		wantErr error
	}{
		"all": {
			map[string]string{provisioned: "", ovf: azureOVF, custom: "another", shared: sharedConfig},
			&Data{UserData: []byte(config), Metadata: Metadata{
				Hostname: "one", SSHKeys: []string{"ssh-rsa AAAA one"},
				PrivateIPv4: address("10.0.0.5"), PublicIPv4: address("203.0.113.25"),
			}}, nil,
		},
		"as upstream": {map[string]string{provisioned: "", custom: config}, &Data{UserData: []byte(config)}, nil},
		"nothing":     {map[string]string{provisioned: ""}, &Data{}, nil},
		"another instance": {map[string]string{provisioned: "", shared: `<SharedConfig><Incarnation instance="x"/></SharedConfig>`},
			&Data{}, nil},
		"bad XML":    {map[string]string{provisioned: "", ovf: azureOVF[:300]}, nil, ErrInvalid},
		"bad base64": {map[string]string{provisioned: "", ovf: `<E><ProvisioningSection><LinuxProvisioningConfigurationSet><CustomData>#</CustomData></LinuxProvisioningConfigurationSet></ProvisioningSection></E>`}, nil, ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := treetest.Dir(t, test.files)
			if test.want != nil {
				test.want.Root = dir
			}
			check(t, AzureAgent(dir), test.want, test.wantErr)
		})
	}
	checkTransient(t, AzureAgent(treetest.Dir(t, map[string]string{custom: config})))
	checkTransient(t, AzureAgent(filepath.Join(t.TempDir(), "waagent")))
}

func FuzzAzureOVF(f *testing.F) {
	f.Add([]byte(azureOVF))
	f.Fuzz(func(_ *testing.T, text []byte) { _ = parseAzureOVF(text, &Data{}) })
}

func FuzzSharedConfig(f *testing.F) {
	f.Add([]byte(sharedConfig))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _, _ = parseSharedConfig(text) })
}
