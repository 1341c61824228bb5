package v2proxy

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// TestIndexesOfMovedKeys compares with indexes from before the TTLs of directories were changed, as clients
// do that keep a directory alive. Like TestExchanges it was held against etcd 3.4.
func TestIndexesOfMovedKeys(t *testing.T) {
	base := os.Getenv("ETCD2_REFERENCE")
	if base == "" {
		base, _ = newFront(t, Limits{})
	}
	n := 0
	dir := ""
	send := func(want int, method, path, form string) int64 {
		t.Helper()
		code, _, body := do(t, base, method, "/v2/keys"+dir+path, form)
		if code != want {
			t.Errorf("%s %s %s: %d %s, want %d", method, path, form, code, body, want)
		}
		var e Event
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Node == nil {
			return 0
		}
		return e.Node.ModifiedIndex
	}
	ttl := func(path string, seconds int) {
		t.Helper()
		send(200, "PUT", path, fmt.Sprintf("dir=true&prevExist=true&ttl=%d", seconds))
	}
	for what, test := range map[string]func(index int64){
		"one change of the TTL": func(index int64) {
			ttl("/d", 200)
			send(200, "PUT", "/d/x/f", fmt.Sprintf("value=2&prevIndex=%d", index))
			send(412, "PUT", "/d/x/f", fmt.Sprintf("value=3&prevIndex=%d", index))
		},
		"many, of several directories": func(index int64) {
			for i := range 3 {
				ttl("/d", 300+i)
				ttl("/d/x", 200+i)
				ttl("", 400+i)
			}
			send(412, "PUT", "/d/x/f", fmt.Sprintf("value=3&prevIndex=%d", index-1))
			send(200, "DELETE", fmt.Sprintf("/d/x/f?prevIndex=%d", index), "")
		},
		"the TTL is kept": func(index int64) {
			ttl("/d", 100)
			send(200, "PUT", "/d/x/f", fmt.Sprintf("value=2&prevIndex=%d", index))
		},
		"the file changes between": func(index int64) {
			ttl("/d", 200)
			send(200, "PUT", "/d/x/f", "value=2")
			ttl("/d", 300)
			send(412, "PUT", "/d/x/f", fmt.Sprintf("value=3&prevIndex=%d", index))
		},
		"another file": func(index int64) {
			other := send(201, "PUT", "/d/x/g", "value=1")
			ttl("/d", 200)
			send(412, "PUT", "/d/x/g", fmt.Sprintf("value=3&prevIndex=%d", index))
			send(200, "PUT", "/d/x/g", fmt.Sprintf("value=3&prevIndex=%d", other))
		},
		"the index that is shown": func(int64) {
			ttl("/d", 200)
			send(200, "PUT", "/d/x/f", fmt.Sprintf("value=2&prevIndex=%d", send(200, "GET", "/d/x/f", "")))
		},
		"the directory is made anew": func(index int64) {
			ttl("/d", 200)
			send(200, "DELETE", "/d?recursive=true", "")
			send(201, "PUT", "/d/x/f", "value=1")
			send(412, "PUT", "/d/x/f", fmt.Sprintf("value=2&prevIndex=%d", index))
		},
	} {
		t.Run(what, func(t *testing.T) {
			n++
			dir = fmt.Sprintf("/moved%d-%d", os.Getpid(), n)
			send(201, "PUT", "", "dir=true&ttl=500")
			send(201, "PUT", "/d", "dir=true&ttl=100")
			test(send(201, "PUT", "/d/x/f", "value=1"))
		})
	}
}
