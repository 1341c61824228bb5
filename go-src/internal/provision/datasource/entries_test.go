package datasource

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/host/treetest"
)

// oneBad is a source with one bad entry. The user-data, the name and the key of the machine count.
type oneBad struct {
	source Source
	// problem is in the problems, network in the problem of the network.
	problem, network string
}

const hostKey = "ssh-ed25519 AAAA one"

func (bad oneBad) check(t *testing.T) {
	t.Helper()
	got, err := bad.source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := got.Metadata
	if strings.TrimSpace(string(got.UserData)) != strings.TrimSpace(config) {
		t.Errorf("user-data %q", got.UserData)
	}
	if !strings.Contains(bad.problem, "hostname") && m.Hostname != "one" {
		t.Errorf("hostname %q", m.Hostname)
	}
	if len(m.SSHKeys) != 1 || m.SSHKeys[0] != hostKey {
		t.Errorf("keys %q", m.SSHKeys)
	}
	if problems := strings.Join(m.Problems, "\n"); !strings.Contains(problems, bad.problem) || (problems == "") != (bad.problem == "") || len(m.Problems) > 1 {
		t.Errorf("problems %q, want one with %q", problems, bad.problem)
	}
	switch problem := m.Network.Problem; {
	case bad.network == "" && problem != nil, bad.network != "" && problem == nil:
		t.Errorf("the network has the problem %v, want %q", problem, bad.network)
	case problem != nil && (!strings.Contains(problem.Error(), bad.network) || m.Network.Interfaces != nil || m.Network.Debian != nil):
		t.Errorf("network %+v, want the problem %q and nothing else", m.Network, bad.network)
	}
}

func TestOneBadEntryOfDigitalOcean(t *testing.T) {
	for name, test := range map[string]struct{ document, problem, network string }{
		"MAC":         {`"interfaces": {"public": [{"mac": "unknown", "ipv4": {"ip_address": "192.0.2.7", "netmask": "255.255.255.0"}}]}`, "", `interfaces.public[0]: not valid: "unknown" is not a MAC address`},
		"MAC number":  {`"interfaces": {"private": [{"mac": 7}]}`, "", `interfaces.private[0]: not valid: "7" is not a MAC`},
		"mask":        {`"interfaces": {"public": [{"ipv4": {"ip_address": "192.0.2.7", "netmask": "255.0.255.0"}}]}`, "", "255.0.255.0 is not a network mask"},
		"length":      {`"interfaces": {"public": [{"ipv6": {"ip_address": "::1", "cidr": 129}}]}`, "", "prefix length"},
		"gateway":     {`"interfaces": {"public": [{"ipv6": {"ip_address": "::1", "cidr": 64, "gateway": "x"}}]}`, "", `"x" is not an IP address`},
		"name server": {`"dns": {"nameservers": ["8.8.8.8", "x"]}`, "", "dns.nameservers[1]"},
		"address":     {`"interfaces": {"public": [{"ipv4": {"ip_address": "1.2.3", "netmask": "255.0.0.0"}}]}`, "interfaces.public[0].ipv4.ip_address", `"1.2.3" is not an IP address`},
		"hostname":    {`"hostname": ["x"]`, "hostname: a value of type array where string is wanted", ""},
	} {
		t.Run(name, func(t *testing.T) {
			document := `{"hostname": "one", "public_keys": ["` + hostKey + `"], ` + test.document + "}"
			url := serve(t, answers{"/metadata/v1.json": document, "/metadata/v1/user-data": config}.ServeHTTP)
			oneBad{DigitalOcean(url), test.problem, test.network}.check(t)
		})
	}
}

func TestOneBadEntryOfPacket(t *testing.T) {
	for name, test := range map[string]struct{ network, problem, want string }{
		"mode":    {`"bonding": {"mode": 7}, "interfaces": [{"name": "eth0"}]`, "", "bonding mode 7"},
		"MAC":     {`"interfaces": [{"mac": "0c:c4:7a:00:00:01"}, {"mac": "unknown"}]`, "", `interfaces[1]: not valid: "unknown"`},
		"mask":    {`"interfaces": [{}], "addresses": [{"address": "10.0.0.2", "netmask": "255.0.255.0"}]`, "", "addresses[0]: not valid: 255.0.255.0"},
		"size":    {`"interfaces": [{}], "addresses": [{"address": "10.0.0.2", "cidr": 33}]`, "", "33 bits"},
		"gateway": {`"interfaces": [{}], "addresses": [{"address": "10.0.0.2", "cidr": 8, "gateway": "x"}]`, "", `"x" is not`},
		"address": {`"interfaces": [{}], "addresses": [{"address": "10", "cidr": 8}]`, "network.addresses[0].address", `"10" is not`},
	} {
		t.Run(name, func(t *testing.T) {
			document := `{"hostname": "one", "ssh_keys": ["` + hostKey + `"], "network": {` + test.network + "}}"
			url := serve(t, answers{"/metadata": document, "/userdata": config}.ServeHTTP)
			oneBad{Packet(url), test.problem, test.want}.check(t)
		})
	}
}

func TestOneBadEntryOfServers(t *testing.T) {
	with := func(a answers, path, text string) answers {
		all := answers{path: text}
		for path, text := range a {
			if _, ok := all[path]; !ok {
				all[path] = text
			}
		}
		return all
	}
	const ec2, ec2Latest = "/2009-04-04/meta-data/", "/latest/meta-data/"
	amazon := answers{
		ec2: "", ec2 + "hostname": "one", ec2 + "public-keys/": "0=a\n", ec2 + "public-keys/0/openssh-key": hostKey, "/2009-04-04/user-data": config,
	}
	stack := answers{
		"/openstack/latest/meta_data.json": `{"hostname": "one", "public_keys": {"a": "` + hostKey + `"}}`, "/openstack/latest/user_data": config,
	}
	google := answers{
		gceInstance + "hostname": "one", gceInstance + "attributes/ssh-keys": "core:" + hostKey, gceInstance + "attributes/user-data": config,
	}
	azure := func(rest string) answers {
		return answers{"/metadata/instance": `{"compute": {"name": "one", "publicKeys": [{"keyData": "` + hostKey + `"}], "userData": "` + base64Of(config) + `"}, ` + rest + "}"}
	}
	atGoogle := func(url string) Source { return GCE(url) }
	for name, test := range map[string]struct {
		of      func(string) Source
		answers answers
		problem string
	}{
		"EC2's address":       {EC2, with(amazon, ec2+"local-ipv4", "10.0.0"), `local-ipv4: "10.0.0" is not an IP address`},
		"EC2's zone":          {EC2, with(amazon, ec2Latest+"ipv6", "fe80::1%x\nLD_PRELOAD=/x"), "is not an IP address"},
		"EC2's IPv6":          {EC2, with(amazon, ec2Latest+"ipv6", "<html>"), `ipv6: "<html>" is not an IP address`},
		"EC2's index":         {EC2, with(amazon, ec2+"public-keys/", "work\n0=a\n"), `public-keys: "work" is not NUMBER=NAME`},
		"EC2's path":          {EC2, with(amazon, ec2+"public-keys/", "../../user-data=a\n0=a"), "is not NUMBER=NAME"},
		"OpenStack's address": {OpenStack, with(stack, "/latest/meta-data/local-ipv4", "<html>"), `"<html>" is not an IP address`},
		"OpenStack's name": {OpenStack, with(stack, "/openstack/latest/meta_data.json", `{"hostname": 1, "public_keys": {"a": "`+hostKey+`"}}`),
			"hostname: a value of type number where string is wanted"},
		"Google's address": {atGoogle, with(google, gceInstance+"network-interfaces/0/ip", "10.128.0"), `"10.128.0" is not an IP address`},
		"Google's list":    {atGoogle, with(google, gceInstance+"network-interfaces/0/ipv6s", "2600::\nx"), `ipv6s: "x" is not an IP address`},
		"Azure's address":  {Azure, azure(`"network": {"interface": [{"ipv4": {"ipAddress": [{"privateIpAddress": "x"}]}}]}`), `privateIpAddress: "x" is not an IP address`},
		"Azure's network":  {Azure, azure(`"network": {"interface": "none"}`), "network.interface: a value of type string"},
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Metadata-Flavor", "Google")
				if r.URL.Path == "/computeMetadata/v1/" {
					return
				}
				test.answers.ServeHTTP(w, r)
			})
			oneBad{test.of(url), test.problem, ""}.check(t)
		})
	}
	// A refusal of one entry is no refusal of the others.
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/public-ipv4") {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		amazon.ServeHTTP(w, r)
	})
	oneBad{EC2(url), "public-ipv4: the server answers 403 Forbidden", ""}.check(t)
}

func TestOneBadEntryOfDrives(t *testing.T) {
	const meta = `{"hostname": "one", "public_keys": {"a": "` + hostKey + `"}`
	for name, test := range map[string]struct {
		files            map[string]string
		problem, network string
	}{
		"no content":      {map[string]string{driveMeta: meta + `, "network_config": {"content_path": "/content/0000"}}`}, "", `network_config of meta_data.json: not valid: the drive has no file "/content/0000"`},
		"content outside": {map[string]string{driveMeta: meta + `, "network_config": {"content_path": "/../../../../etc/passwd"}}`}, "", "network_config of meta_data.json: "},
		"addresses":       {map[string]string{driveMeta: meta + "}", "ec2/latest/meta-data.json": `{"local-ipv4": "x"}`}, `local-ipv4: "x" is not an IP address`, ""},
		"EC2's document":  {map[string]string{driveMeta: meta + "}", "ec2/latest/meta-data.json": "[]"}, "ec2/latest/meta-data.json: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.files[driveUser] = config
			oneBad{ConfigDrive(treetest.Dir(t, test.files)), test.problem, test.network}.check(t)
		})
	}
	// A document that breaks off has no name and no keys; the user-data count.
	got, err := ConfigDrive(treetest.Dir(t, map[string]string{driveUser: config, driveMeta: meta})).Fetch(t.Context())
	if err != nil || string(got.UserData) != config || len(got.Metadata.Problems) != 1 || !strings.HasPrefix(got.Metadata.Problems[0], "meta_data.json: ") {
		t.Errorf("got %+v, error %v", got, err)
	}
	// What is no JSON at all is for package netconf to name.
	got, err = ConfigDrive(treetest.Dir(t, map[string]string{driveUser: config, "openstack/latest/network_data.json": "{"})).Fetch(t.Context())
	if err != nil || string(got.UserData) != config || string(got.Metadata.Network.OpenStack) != "{" {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestOneBadEntryOfCloudSigma(t *testing.T) {
	for rest, problem := range map[string]string{
		`"nics": [{"mac": "unknown"}]`:                        `nics[0].mac: not valid: "unknown" is not a MAC address`,
		`"nics": [{"ip_v4_conf": {"ip": {"uuid": "x"}}}]`:     `nics[0].ip_v4_conf: "x" is not an IP address`,
		`"nics": [{"mac": "", "ip_v4_conf": {"ip": "none"}}]`: "nics.ip_v4_conf.ip: a value of type string",
	} {
		host, path := serialPort(t)
		answer(t, host, `{"name": "one", "meta": {"ssh_public_key": "`+hostKey+`", "cloudinit-user-data": "#cloud-config\nhostname: one\n"}, `+rest+"}\x04")
		oneBad{cloudSigma(t, path), problem, ""}.check(t)
	}
}

func TestOneBadEntryOfWaagent(t *testing.T) {
	dir := treetest.Dir(t, map[string]string{
		"provisioned": "", "CustomData": config,
		"SharedConfig.xml": `<S><Incarnation instance="x"/><Instances><Instance id="x" address="y"/></Instances></S>`,
	})
	got, err := AzureAgent(filepath.Clean(dir)).Fetch(t.Context())
	if err != nil || string(got.UserData) != config || len(got.Metadata.Problems) != 1 || !strings.Contains(got.Metadata.Problems[0], `"y" is not an IP address`) {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var m Metadata
	m.keyIndex(strings.Repeat("x\n", 1000))
	if len(m.Problems) != maxProblems+1 {
		t.Errorf("%d problems", len(m.Problems))
	}
}

// TestUndecoded has user-data that cannot be decoded: the keys count, so that somebody can log in.
func TestUndecoded(t *testing.T) {
	for name, s := range map[string]Source{
		"packed": fake(&Data{UserData: []byte("\x1f\x8b and so on"), Metadata: Metadata{SSHKeys: []string{hostKey}}}, nil),
		"Azure": Azure(serve(t, answers{
			"/metadata/instance": `{"compute": {"publicKeys": [{"keyData": "` + hostKey + `"}], "userData": "#cloud-config"}}`,
		}.ServeHTTP)),
		"Google": GCE(google(t, answers{
			gceInstance + "attributes/ssh-keys": "core:" + hostKey, gceInstance + "attributes/user-data": "#cloud-config",
			gceInstance + "attributes/user-data-encoding": "base64",
		})),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Fetch(t.Context())
			if err != nil || got.Undecoded == nil || len(got.UserData) > 0 || len(got.Metadata.SSHKeys) != 1 {
				t.Errorf("got %+v, error %v", got, err)
			}
		})
	}
}
