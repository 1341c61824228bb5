package datasource

import (
	"encoding/base64"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	gceInstance = "/computeMetadata/v1/instance/"
	gceProject  = "/computeMetadata/v1/project/"
)

// google serves what Google's server has: nothing without the header.
func google(t *testing.T, has answers) string {
	all := answers{"/computeMetadata/v1/": "instance/\nproject/\n"}
	maps.Copy(all, has)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		all.ServeHTTP(w, r)
	})
}

func TestGCE(t *testing.T) {
	tests := map[string]struct {
		has     answers
		want    *Data
		wantErr error
	}{
		"all": {
			answers{
				gceInstance + "attributes/user-data":                              config,
				gceInstance + "hostname":                                          "one.c.project.internal",
				gceInstance + "network-interfaces/0/ip":                           "10.128.0.2",
				gceInstance + "network-interfaces/0/access-configs/0/external-ip": "203.0.113.25",
				gceInstance + "network-interfaces/0/ipv6s":                        "fd20::2\n2600:1900::2\n",
				gceInstance + "attributes/ssh-keys":                               "core:ssh-rsa AAAA one\n",
				gceProject + "attributes/ssh-keys":                                "jane:ssh-rsa BBBB two\ncore:ssh-rsa AAAA one",
			},
			&Data{UserData: []byte(config), Metadata: Metadata{
				Hostname: "one.c.project.internal", SSHKeys: []string{"ssh-rsa AAAA one", "ssh-rsa BBBB two"},
				PrivateIPv4: address("10.128.0.2"), PublicIPv4: address("203.0.113.25"),
				PrivateIPv6: address("fd20::2"), PublicIPv6: address("2600:1900::2"),
			}}, nil,
		},
		"nothing": {nil, &Data{}, nil},
		"no external address": {
			answers{gceInstance + "network-interfaces/0/access-configs/0/external-ip": ""}, &Data{}, nil,
		},
		"in base64": {
			answers{
				gceInstance + "attributes/user-data":          base64.StdEncoding.EncodeToString(pack(t, []byte(config))),
				gceInstance + "attributes/user-data-encoding": "base64",
			},
			&Data{UserData: []byte(config)}, nil,
		},
		"not in base64": {
			answers{gceInstance + "attributes/user-data": config, gceInstance + "attributes/user-data-encoding": "base64"}, nil, ErrInvalid,
		},
		"the project's keys blocked": {
			answers{
				gceInstance + "attributes/ssh-keys":               "core:ssh-rsa AAAA",
				gceInstance + "attributes/block-project-ssh-keys": "TRUE",
				gceProject + "attributes/ssh-keys":                "jane:ssh-rsa BBBB",
			},
			&Data{Metadata: Metadata{SSHKeys: []string{"ssh-rsa AAAA"}}}, nil,
		},
		"keys of old": {
			answers{
				gceInstance + "attributes/sshKeys": "core:ssh-rsa AAAA",
				gceProject + "attributes/sshKeys":  "jane:ssh-rsa BBBB",
			},
			&Data{Metadata: Metadata{SSHKeys: []string{"ssh-rsa AAAA"}}}, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { check(t, GCE(google(t, test.has)), test.want, test.wantErr) })
	}
	// Another cloud's server does not have the header.
	check(t, GCE(serve(t, answers{"/computeMetadata/v1/": ""}.ServeHTTP)), nil, ErrAbsent)
}

func TestGCEKeys(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string][]string{
		"":                            nil,
		"core:ssh-rsa AAAA core@one ": {"ssh-rsa AAAA core@one"},
		"\n\ncore:a\r\njane:b\n":      {"a", "b"},
		"ssh-rsa AAAA core@one:2":     nil,
		"# core:ssh-rsa AAAA":         nil,
		":ssh-rsa AAAA":               nil,
		`j:ssh-rsa A google-ssh {"userName":"j","expireOn":"2026-07-01T12:00:01+0000"}`: {`ssh-rsa A google-ssh {"userName":"j","expireOn":"2026-07-01T12:00:01+0000"}`},
		`j:ssh-rsa A google-ssh {"userName":"j","expireOn":"2026-07-01T12:00:01Z"}`:     {`ssh-rsa A google-ssh {"userName":"j","expireOn":"2026-07-01T12:00:01Z"}`},
		`j:ssh-rsa A google-ssh {"userName":"j","expireOn":"2026-07-01T13:59:59+0200"}`: nil,
		`j:ssh-rsa A google-ssh {"userName":"j","expireOn":"some day"}`:                 nil,
		`j:ssh-rsa A google-ssh {"userName":"j"}`:                                       nil,
		`j:ssh-rsa A google-ssh {`: nil,
	} {
		if got := parseGCEKeys(text, now); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzGCEKeys(f *testing.F) {
	f.Add(`core:ssh-rsa A google-ssh {"expireOn":"2026-07-01T12:00:01+0000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, key := range parseGCEKeys(text, time.Time{}) {
			if !strings.Contains(text, key) || strings.Contains(key, "\n") {
				t.Errorf("key %q of %q", key, text)
			}
		}
	})
}
