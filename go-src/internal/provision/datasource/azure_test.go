package datasource

import (
	"encoding/base64"
	"io"
	"net/http"
	"testing"
)

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

var azureDocument = `{
  "compute": {
    "azEnvironment": "AzurePublicCloud", "name": "one-vm", "customData": "", "location": "westeurope",
    "osProfile": {"adminUsername": "core", "computerName": "one", "disablePasswordAuthentication": "true"},
    "publicKeys": [{"keyData": "ssh-rsa AAAA one\r\n", "path": "/home/core/.ssh/authorized_keys"}],
    "userData": "` + base64Of(config) + `", "vmId": "02aab8a4-74ef-476e-8182-f6d2ba4166a6"
  },
  "network": {"interface": [
    {"ipv4": {"ipAddress": [{"privateIpAddress": "10.0.0.4", "publicIpAddress": ""}], "subnet": [{"address": "10.0.0.0", "prefix": "24"}]},
     "ipv6": {"ipAddress": [{"privateIpAddress": "fd00::4"}]}, "macAddress": "000D3AF806EC"},
    {"ipv4": {"ipAddress": [{"privateIpAddress": "10.1.0.4", "publicIpAddress": "203.0.113.25"}]}, "ipv6": {"ipAddress": []}}
  ]}
}`

func TestAzure(t *testing.T) {
	tests := map[string]struct {
		document string
		want     *Data
		wantErr  error
	}{
		"all": {azureDocument, &Data{ReadyAt: WireServer, UserData: []byte(config), Metadata: Metadata{
			Hostname: "one", SSHKeys: []string{"ssh-rsa AAAA one"},
			PrivateIPv4: address("10.0.0.4"), PublicIPv4: address("203.0.113.25"), PrivateIPv6: address("fd00::4"),
		}}, nil},
		"only a name":   {`{"compute": {"name": "one"}}`, &Data{ReadyAt: WireServer, Metadata: Metadata{Hostname: "one"}}, nil},
		"packed":        {`{"compute": {"userData": "` + base64Of(string(pack(t, []byte(config)))) + `"}}`, &Data{ReadyAt: WireServer, UserData: []byte(config)}, nil},
		"not in base64": {`{"compute": {"userData": "#cloud-config"}}`, nil, ErrInvalid},
		"no document":   {"<html>", nil, ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			check(t, Azure(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Metadata") != "true" || r.URL.Path != "/metadata/instance" || r.URL.Query().Get("api-version") == "" {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				_, _ = io.WriteString(w, test.document)
			})), test.want, test.wantErr)
		})
	}
}

func FuzzAzure(f *testing.F) {
	f.Add([]byte(azureDocument))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseAzure(text) })
}
