package datasource

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
)

var ec2Answers = answers{
	"/2009-04-04/meta-data/":                          "ami-id\nhostname\nlocal-ipv4\npublic-ipv4\npublic-keys/\n",
	"/2009-04-04/meta-data/hostname":                  "ip-10-0-0-12.ec2.internal",
	"/2009-04-04/meta-data/local-ipv4":                "10.0.0.12",
	"/2009-04-04/meta-data/public-ipv4":               "203.0.113.25",
	"/2009-04-04/meta-data/public-keys/":              "0=work\n1=home",
	"/2009-04-04/meta-data/public-keys/0/openssh-key": "ssh-rsa AAAA work\n",
	"/2009-04-04/meta-data/public-keys/1/openssh-key": "ssh-ed25519 BBBB home\n",
	"/2009-04-04/user-data":                           config,
	"/latest/meta-data/ipv6":                          "2001:db8::12",
}

func ec2Data() *Data {
	return &Data{UserData: []byte(config), Metadata: Metadata{
		Hostname:    "ip-10-0-0-12.ec2.internal",
		SSHKeys:     []string{"ssh-rsa AAAA work", "ssh-ed25519 BBBB home"},
		PrivateIPv4: address("10.0.0.12"), PublicIPv4: address("203.0.113.25"), PublicIPv6: address("2001:db8::12"),
	}}
}

func TestEC2(t *testing.T) {
	var tokens atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			tokens.Add(1)
			_, _ = io.WriteString(w, "AQAEAsecret==")
		case r.Header.Get("X-aws-ec2-metadata-token") != "AQAEAsecret==":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			ec2Answers.ServeHTTP(w, r)
		}
	})
	check(t, EC2(url), ec2Data(), nil)
	if tokens.Load() != 1 {
		t.Errorf("asked for %d tokens", tokens.Load())
	}
}

func TestEC2WithoutTokens(t *testing.T) {
	for code, want := range map[int]bool{403: true, 404: true, 405: true, 400: false, 401: false, 500: false} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				w.WriteHeader(code)
				return
			}
			ec2Answers.ServeHTTP(w, r)
		})
		if got, err := EC2(url).Fetch(t.Context()); (err == nil) != want {
			t.Errorf("%d: got %+v, error %v", code, got, err)
		}
	}
}

func TestEC2Versions(t *testing.T) {
	tests := fetches{
		"only the latest": {
			answers{"/latest/meta-data/": "hostname", "/latest/meta-data/hostname": "one two", "/latest/user-data": config},
			&Data{UserData: []byte(config), Metadata: Metadata{Hostname: "one"}}, nil,
		},
		"a key of no use": {answers{"/latest/meta-data/": "", "/latest/meta-data/public-keys/": "0=a"}, &Data{}, nil},
		"nothing in it":   {answers{"/2009-04-04/meta-data/": ""}, &Data{}, nil},
		"not there":       {answers{"/metadata/v1.json": "{}"}, nil, ErrAbsent},
	}
	tests.check(t, EC2)
}

func FuzzKeyIndex(f *testing.F) {
	f.Add("0=work\n1=home")
	f.Fuzz(func(t *testing.T, index string) {
		var m Metadata
		if numbers := m.keyIndex(index); len(numbers) > maxKeys || len(m.Problems) > maxProblems+1 {
			t.Errorf("%d numbers, %d problems", len(numbers), len(m.Problems))
		}
	})
}

func FuzzEC2Document(f *testing.F) {
	f.Add([]byte(ec2Document))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseEC2Document(text) })
}
