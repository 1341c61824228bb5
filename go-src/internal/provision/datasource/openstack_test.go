package datasource

import "testing"

const (
	openstackInstance = "83679162-1378-4288-a2d4-70e13ec132aa"
	openstackDocument = `{"uuid": "` + openstackInstance + `", "name": "one", "hostname": "one.novalocal",
		"availability_zone": "nova", "launch_index": 0, "random_seed": "AAAA", "project_id": "f7ac731c", "meta": {"role": "web"},
		"public_keys": {"work": "ssh-rsa AAAA work\n", "home": "ssh-ed25519 BBBB home"},
		"network_config": {"name": "network_config", "content_path": "/content/0000"},
		"files": [{"path": "/etc/motd", "content_path": "/content/0001"}]}`
	networkDocument = `{"links": [{"id": "tap1", "type": "ovs", "ethernet_mac_address": "fa:16:3e:00:00:01"}], "networks": [], "services": []}`
	ec2Document     = `{"ami-id": "ami-1", "instance-id": "i-1", "hostname": "one.novalocal", "local-ipv4": "10.0.0.12", "public-ipv4": "",
		"public-keys": {"0": {"openssh-key": "ssh-rsa AAAA work"}}}`
	interfacesText = "auto eth0\niface eth0 inet static\n    address 10.0.0.12\n"
)

func openstackKeys() []string { return []string{"ssh-ed25519 BBBB home", "ssh-rsa AAAA work"} }

func TestOpenStack(t *testing.T) {
	const document, network = "/openstack/latest/meta_data.json", "/openstack/latest/network_data.json"
	tests := fetches{
		"all": {
			answers{
				document: openstackDocument, network: networkDocument, "/openstack/latest/user_data": config,
				"/latest/meta-data/local-ipv4": "10.0.0.12", "/latest/meta-data/public-ipv4": "203.0.113.25\n",
			},
			&Data{UserData: []byte(config), Metadata: Metadata{
				Instance: openstackInstance, Hostname: "one.novalocal", SSHKeys: openstackKeys(),
				PrivateIPv4: address("10.0.0.12"), PublicIPv4: address("203.0.113.25"),
				Network: Network{OpenStack: []byte(networkDocument)},
			}}, nil,
		},
		"no user-data": {answers{document: `{"hostname": "one"}`}, &Data{Metadata: Metadata{Hostname: "one"}}, nil},
		"no document":  {answers{"/openstack/latest/user_data": config}, nil, ErrAbsent},
	}
	tests.check(t, OpenStack)
}

func FuzzOpenStack(f *testing.F) {
	f.Add([]byte(openstackDocument))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseOpenStack(text) })
}
