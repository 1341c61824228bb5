package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"

	"coreos/internal/update/status"
)

// password is one that nothing else contains.
const password = "sesam-oeffne-dich"

// withPassword puts a user and a password into a URL.
func withPassword(address string) string {
	return strings.Replace(address, "://", "://user:"+password+"@", 1)
}

// TestPasswords lets all fail that has a URL with a password. None of them is in the status, the
// error, the log, or an event.
func TestPasswords(t *testing.T) {
	var journal bytes.Buffer
	log.SetOutput(&journal)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	gone := withPassword("http://127.0.0.1:1/")
	repository := func(w *world) { w.config.Server, w.config.Repository = "", withPassword(w.http.URL+"/repo/") }
	for name, change := range map[string]func(*world){
		"server that is gone":       func(w *world) { w.config.Server = gone },
		"server that fails":         func(w *world) { w.config.Server = withPassword(w.http.URL + "/nothing") },
		"server that says nonsense": func(w *world) { w.config.Server = withPassword(w.http.URL + "/repo/") },
		"server in circles": func(w *world) {
			w.config.Server = withPassword(w.http.URL + "/circle")
			w.answers("/circle", func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "/circle?key="+password, http.StatusFound)
			})
		},
		"repository that is gone": func(w *world) { w.config.Server, w.config.Repository = "", gone },
		"repository that fails": func(w *world) {
			repository(w)
			w.answers("timestamp.json", http.NotFound)
		},
		"release that fails": func(w *world) {
			repository(w)
			w.onlyWhole(http.NotFound)
		},
		"offer that fails":   func(w *world) { w.omaha.Offer("1.1.0", gone, withPassword(w.http.URL+"/nothing/")) },
		"offer that is none": func(w *world) { w.omaha.Offer("1.1.0", "ftp://user:"+password+"@example.com/") },
		"malformed offer":    func(w *world) { w.omaha.Offer("1.1.0", "http://user:"+password+"%@example.com/") },
		"proxy that is gone": func(w *world) { w.extra = "PROXY=" + gone + "\nSERVER=http://example.com/\n" },
		"malformed proxy":    func(w *world) { w.extra = "PROXY=user:" + password + "@proxy:3128\n" },
		"malformed server":   func(w *world) { w.extra = "SERVER=http://user:" + password + "%@example.com/\n" },
		"server with a space": func(w *world) {
			w.extra = "SERVER=http://user:" + password + " " + password + "@example.com/\n"
		},
		"malformed repository": func(w *world) {
			w.extra = "SERVER=\nREPOSITORY=https://user:" + password + "/" + password + "@example.com/\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.patches = 0
			w.publish("1.1.0", "")
			change(w)
			d := w.machine()
			journal.Reset()
			_, err := d.Attempt(context.Background(), true)
			if err == nil {
				t.Fatal("nothing failed")
			}
			state, jsonErr := json.Marshal(d.Status())
			w.must(jsonErr)
			events, jsonErr := json.Marshal(w.omaha.Events())
			w.must(jsonErr)
			for where, text := range map[string]string{"error": err.Error(), "status": string(state), "journal": journal.String(), "events": string(events)} {
				if strings.Contains(text, password) {
					t.Errorf("the %s has the password: %s", where, text)
				}
			}
			w.wantOperation(d, status.Idle, "")
		})
	}
}
