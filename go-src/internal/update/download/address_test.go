package download

import (
	"net/url"
	"testing"
)

func TestCheckAddress(t *testing.T) {
	for to, want := range map[string]struct{ fromOutside, fromHere bool }{
		"https://example.com/":             {true, true},
		"http://10.0.0.1/":                 {true, true},
		"http://127.0.0.1:2379/":           {false, true},
		"http://localhost./":               {false, true},
		"http://[::1]:2379/":               {false, true},
		"http://[::ffff:127.0.0.1]/":       {false, true},
		"http://0.0.0.0:2379/":             {false, true},
		"http://169.254.169.254/latest/":   {false, false},
		"http://[fe80::1%25eth0]/":         {false, false},
		"http://[fd00:ec2::254]/latest/":   {false, false},
		"http://Metadata.Google.Internal/": {false, false},
		"file:///etc/shadow":               {false, false},
		"http:///etc/shadow":               {false, false},
		"gopher://example.com/":            {false, false},
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		for from, want := range map[string]bool{"https://example.org": want.fromOutside, "http://127.0.0.1:8080": want.fromHere} {
			f, _ := url.Parse(from)
			if err := CheckAddress(f, u); (err == nil) != want {
				t.Errorf("from %s to %s: %v", from, to, err)
			}
		}
	}
}
