package member

import "testing"

// TestCheckPeers has members at peer URLs at which this machine reaches them, and at which it does not.
func TestCheckPeers(t *testing.T) {
	reached := func(url string) bool { return url == "http://192.0.2.1:2380" }
	dead := Member{ID: 9, PeerURLs: []string{"http://192.0.2.9:2380"}}
	for what, test := range map[string]struct {
		member Member
		want   bool
	}{
		"one that answers":        {Member{ID: 1, PeerURLs: []string{"http://192.0.2.1:2380"}}, true},
		"one of its URLs answers": {Member{ID: 1, PeerURLs: []string{"http://192.0.2.2:2380", "http://192.0.2.1:2380"}}, true},
		"one behind a firewall":   {Member{ID: 1, PeerURLs: []string{"http://192.0.2.2:2380"}}, false},
		"one that is not healthy": {Member{ID: 1, PeerURLs: []string{"http://192.0.2.2:2380"}, Err: errPromoted}, true},
		"this machine":            {Member{ID: 1, PeerURLs: []string{"http://192.0.2.3:2380"}}, true},
	} {
		err := checkPeers(&Cluster{Members: []Member{dead, test.member}}, 9, "http://192.0.2.3:2380", reached)
		if (err == nil) != test.want {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestIsLocal(t *testing.T) {
	for url, want := range map[string]bool{
		"http://localhost:2380": true, "http://127.0.0.1:2380": true, "https://[::1]:2380": true, "http://0.0.0.0:2380": true,
		"http://192.0.2.1:2380": false, "https://node1.example.com:2380": false,
	} {
		if got := isLocal(url); got != want {
			t.Errorf("%s: %t", url, got)
		}
	}
}
