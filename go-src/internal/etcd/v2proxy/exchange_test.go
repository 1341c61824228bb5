package v2proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exchanges are requests and their answers. $ stands for a directory of the test's own.
// Indexes and times are left out of the comparison, TTLs
// are rounded up to tens, and names of in-order keys are #.
//
// All were held against etcd 3.4.23 --enable-v2: set ETCD2_REFERENCE to its URL.
var exchanges = []struct{ name, text string }{
	{"set and get", `
PUT $/a/b value=1
201 {"action":"set","node":{"key":"$/a/b","value":"1"}}
PUT $/a/b value=<2>
200 {"action":"set","node":{"key":"$/a/b","value":"<2>"},"prevNode":{"key":"$/a/b","value":"1"}}
GET $/a/b
200 {"action":"get","node":{"key":"$/a/b","value":"<2>"}}
GET $/a/b/
200 {"action":"get","node":{"key":"$/a/b","value":"<2>"}}
GET $/a/b?quorum=true
200 {"action":"get","node":{"key":"$/a/b","value":"<2>"}}
GET $/a/b?quorum=false
200 {"action":"get","node":{"key":"$/a/b","value":"<2>"}}
PUT $/empty
201 {"action":"set","node":{"key":"$/empty","value":""}}
PUT $/query?value=3
201 {"action":"set","node":{"key":"$/query","value":"3"}}
`},
	{"missing", `
GET $/no
404 {"errorCode":100,"message":"Key not found","cause":"$"}
PUT $/d/f value=1
201 {"action":"set","node":{"key":"$/d/f","value":"1"}}
GET $/d/x/y
404 {"errorCode":100,"message":"Key not found","cause":"$/d/x"}
GET $/d/f/y
400 {"errorCode":104,"message":"Not a directory","cause":"$/d/f"}
PUT $/d/f/y value=1
400 {"errorCode":104,"message":"Not a directory","cause":"$/d/f"}
DELETE $/d/f/y
400 {"errorCode":104,"message":"Not a directory","cause":"$/d/f"}
POST $/d/f value=1
400 {"errorCode":104,"message":"Not a directory","cause":"$/d/f"}
DELETE $/d/x
404 {"errorCode":100,"message":"Key not found","cause":"$/d/x"}
`},
	{"listing", `
PUT $/b value=1
201 {"action":"set","node":{"key":"$/b","value":"1"}}
PUT $/a/x value=2
201 {"action":"set","node":{"key":"$/a/x","value":"2"}}
PUT $/a-b value=3
201 {"action":"set","node":{"key":"$/a-b","value":"3"}}
PUT $/a/d dir=true
201 {"action":"set","node":{"key":"$/a/d","dir":true}}
PUT $/a/_h/x value=4
201 {"action":"set","node":{"key":"$/a/_h/x","value":"4"}}
PUT $/_secret value=5
201 {"action":"set","node":{"key":"$/_secret","value":"5"}}
GET $?sorted=true
200 {"action":"get","node":{"key":"$","dir":true,"nodes":[{"key":"$/a","dir":true},{"key":"$/a-b","value":"3"},{"key":"$/b","value":"1"}]}}
GET $?recursive=true&sorted=true
200 {"action":"get","node":{"key":"$","dir":true,"nodes":[{"key":"$/a","dir":true,"nodes":[{"key":"$/a/d","dir":true},{"key":"$/a/x","value":"2"}]},{"key":"$/a-b","value":"3"},{"key":"$/b","value":"1"}]}}
GET $/a/_h
200 {"action":"get","node":{"key":"$/a/_h","dir":true,"nodes":[{"key":"$/a/_h/x","value":"4"}]}}
GET $/_secret
200 {"action":"get","node":{"key":"$/_secret","value":"5"}}
GET $/a/d
200 {"action":"get","node":{"key":"$/a/d","dir":true}}
`},
	{"prevExist", `
PUT $/a value=1&prevExist=true
404 {"errorCode":100,"message":"Key not found","cause":"$"}
PUT $/a value=1&prevExist=false
201 {"action":"create","node":{"key":"$/a","value":"1"}}
PUT $/a value=1&prevExist=false
412 {"errorCode":105,"message":"Key already exists","cause":"$/a"}
PUT $/a value=2&prevExist=true
200 {"action":"update","node":{"key":"$/a","value":"2"},"prevNode":{"key":"$/a","value":"1"}}
PUT $/a/b value=2&prevExist=true
400 {"errorCode":104,"message":"Not a directory","cause":"$/a"}
PUT $/a/b value=2&prevExist=false
400 {"errorCode":104,"message":"Not a directory","cause":"$/a"}
PUT $/d dir=true&prevExist=false
201 {"action":"create","node":{"key":"$/d","dir":true}}
PUT $/d dir=true&prevExist=false
412 {"errorCode":105,"message":"Key already exists","cause":"$/d"}
PUT $/a value=3&noValueOnSuccess=true
200 {"action":"set"}
DELETE $/a?noValueOnSuccess=true
200 {"action":"delete","node":{"key":"$/a"},"prevNode":{"key":"$/a","value":"3"}}
`},
	{"compare and swap", `
PUT $/a prevValue=1&value=2
404 {"errorCode":100,"message":"Key not found","cause":"$"}
PUT $/a value=1
201 {"action":"set","node":{"key":"$/a","value":"1"}}
PUT $/a prevValue=2&value=3
412 {"errorCode":101,"message":"Compare failed","cause":"[2 != 1]"}
PUT $/a prevValue=1&value=2
200 {"action":"compareAndSwap","node":{"key":"$/a","value":"2"},"prevNode":{"key":"$/a","value":"1"}}
PUT $/a prevValue=2&prevExist=true&value=3
200 {"action":"compareAndSwap","node":{"key":"$/a","value":"3"},"prevNode":{"key":"$/a","value":"2"}}
DELETE $/a?prevValue=2
412 {"errorCode":101,"message":"Compare failed","cause":"[2 != 3]"}
DELETE $/a?prevValue=3
200 {"action":"compareAndDelete","node":{"key":"$/a"},"prevNode":{"key":"$/a","value":"3"}}
PUT $/d dir=true
201 {"action":"set","node":{"key":"$/d","dir":true}}
PUT $/d prevValue=1&value=2
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
DELETE $/d?prevValue=1
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
PUT $/d prevValue=
400 {"errorCode":201,"message":"PrevValue is Required in POST form","cause":"\"prevValue\" cannot be empty"}
`},
	{"in order", `
POST $/q value=1
201 {"action":"create","node":{"key":"$/q/#","value":"1"}}
POST $/q value=2
201 {"action":"create","node":{"key":"$/q/#","value":"2"}}
POST $/q dir=true
201 {"action":"create","node":{"key":"$/q/#","dir":true}}
GET $/q?sorted=true
200 {"action":"get","node":{"key":"$/q","dir":true,"nodes":[{"key":"$/q/#","value":"1"},{"key":"$/q/#","value":"2"},{"key":"$/q/#","dir":true}]}}
`},
	{"directories", `
PUT $/d dir=true
201 {"action":"set","node":{"key":"$/d","dir":true}}
PUT $/d dir=true
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
PUT $/d value=1
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
PUT $/d value=1&prevExist=true
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
DELETE $/d
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
PUT $/d/x value=1
201 {"action":"set","node":{"key":"$/d/x","value":"1"}}
DELETE $/d?dir=true
403 {"errorCode":108,"message":"Directory not empty","cause":"$/d"}
DELETE $/d/x
200 {"action":"delete","node":{"key":"$/d/x"},"prevNode":{"key":"$/d/x","value":"1"}}
DELETE $/d?dir=true
200 {"action":"delete","node":{"key":"$/d","dir":true},"prevNode":{"key":"$/d","dir":true}}
PUT $/d/x/y value=1
201 {"action":"set","node":{"key":"$/d/x/y","value":"1"}}
DELETE $/d?recursive=true
200 {"action":"delete","node":{"key":"$/d","dir":true},"prevNode":{"key":"$/d","dir":true}}
GET $/d
404 {"errorCode":100,"message":"Key not found","cause":"$/d"}
PUT $/f value=1
201 {"action":"set","node":{"key":"$/f","value":"1"}}
PUT $/f dir=true
200 {"action":"set","node":{"key":"$/f","dir":true},"prevNode":{"key":"$/f","value":"1"}}
PUT $/g value=1
201 {"action":"set","node":{"key":"$/g","value":"1"}}
DELETE $/g?recursive=true
200 {"action":"delete","node":{"key":"$/g"},"prevNode":{"key":"$/g","value":"1"}}
`},
	{"root", `
PUT / value=1
400 {"errorCode":107,"message":"Root is read only","cause":"/"}
DELETE /?recursive=true
400 {"errorCode":107,"message":"Root is read only","cause":"/"}
`},
	{"ttl", `
PUT $/a value=1&ttl=100
201 {"action":"set","node":{"key":"$/a","value":"1","ttl":100}}
GET $/a
200 {"action":"get","node":{"key":"$/a","value":"1","ttl":100}}
PUT $/a value=2&ttl=100
200 {"action":"set","node":{"key":"$/a","value":"2","ttl":100},"prevNode":{"key":"$/a","value":"1","ttl":100}}
PUT $/a refresh=true&ttl=100
200 {"action":"set","node":{"key":"$/a","value":"2","ttl":100},"prevNode":{"key":"$/a","value":"2","ttl":100}}
PUT $/a refresh=true&ttl=200&prevExist=true
200 {"action":"update","node":{"key":"$/a","value":"2","ttl":200},"prevNode":{"key":"$/a","value":"2","ttl":100}}
PUT $/a refresh=true&ttl=300&prevValue=2
200 {"action":"compareAndSwap","node":{"key":"$/a","value":"2","ttl":300},"prevNode":{"key":"$/a","value":"2","ttl":200}}
PUT $/a refresh=true&ttl=300&prevValue=1
412 {"errorCode":101,"message":"Compare failed","cause":"[1 != 2]"}
PUT $/no refresh=true&ttl=100
404 {"errorCode":100,"message":"Key not found","cause":"$/no"}
PUT $/a value=3&refresh=true&ttl=100
400 {"errorCode":211,"message":"Value provided on refresh","cause":"A value was provided on a refresh"}
PUT $/a refresh=true
400 {"errorCode":212,"message":"A TTL must be provided on refresh","cause":"No TTL value set"}
PUT $/a value=3&ttl=
200 {"action":"set","node":{"key":"$/a","value":"3"},"prevNode":{"key":"$/a","value":"2","ttl":300}}
PUT $/a value=4&ttl=100&prevExist=true
200 {"action":"update","node":{"key":"$/a","value":"4","ttl":100},"prevNode":{"key":"$/a","value":"3"}}
PUT $/a value=5&prevExist=true
200 {"action":"update","node":{"key":"$/a","value":"5"},"prevNode":{"key":"$/a","value":"4","ttl":100}}
`},
	{"ttl of directories", `
PUT $/d dir=true&ttl=100
201 {"action":"set","node":{"key":"$/d","dir":true,"ttl":100}}
PUT $/d/x value=1
201 {"action":"set","node":{"key":"$/d/x","value":"1"}}
PUT $/d/y value=1&ttl=50
201 {"action":"set","node":{"key":"$/d/y","value":"1","ttl":50}}
PUT $/d/e/f value=1
201 {"action":"set","node":{"key":"$/d/e/f","value":"1"}}
GET $/d?recursive=true&sorted=true
200 {"action":"get","node":{"key":"$/d","dir":true,"ttl":100,"nodes":[{"key":"$/d/e","dir":true,"nodes":[{"key":"$/d/e/f","value":"1"}]},{"key":"$/d/x","value":"1"},{"key":"$/d/y","value":"1","ttl":50}]}}
PUT $/d dir=true&ttl=200&prevExist=true
200 {"action":"update","node":{"key":"$/d","dir":true,"ttl":200},"prevNode":{"key":"$/d","dir":true,"ttl":100}}
PUT $/d ttl=200&prevExist=true&refresh=true
200 {"action":"update","node":{"key":"$/d","dir":true,"ttl":200},"prevNode":{"key":"$/d","dir":true,"ttl":200}}
GET $/d/x
200 {"action":"get","node":{"key":"$/d/x","value":"1"}}
GET $/d/y
200 {"action":"get","node":{"key":"$/d/y","value":"1","ttl":50}}
PUT $/d ttl=200&refresh=true
403 {"errorCode":102,"message":"Not a file","cause":"$/d"}
PUT $/d dir=true&prevExist=true
200 {"action":"update","node":{"key":"$/d","dir":true},"prevNode":{"key":"$/d","dir":true,"ttl":200}}
GET $/d/e?recursive=true
200 {"action":"get","node":{"key":"$/d/e","dir":true,"nodes":[{"key":"$/d/e/f","value":"1"}]}}
`},
	{"bad fields", `
GET $/a?wait=x
400 {"errorCode":209,"message":"Invalid field","cause":"invalid value for \"wait\""}
PUT $/a?wait=true
400 {"errorCode":209,"message":"Invalid field","cause":"\"wait\" can only be used with GET requests"}
PUT $/a ttl=x
400 {"errorCode":202,"message":"The given TTL in POST form is not a number","cause":"invalid value for \"ttl\""}
PUT $/a ttl=-1
400 {"errorCode":202,"message":"The given TTL in POST form is not a number","cause":"invalid value for \"ttl\""}
PUT $/a prevIndex=x
400 {"errorCode":203,"message":"The given index in POST form is not a number","cause":"invalid value for \"prevIndex\""}
GET $/a?waitIndex=x
400 {"errorCode":203,"message":"The given index in POST form is not a number","cause":"invalid value for \"waitIndex\""}
GET $/a?recursive=
400 {"errorCode":209,"message":"Invalid field","cause":"invalid value for \"recursive\""}
PUT $/a value=%zz
400 {"errorCode":210,"message":"Invalid POST form","cause":"invalid URL escape \"%zz\""}
`},
}

var (
	inOrderName = regexp.MustCompile(`/\d{20}`)
	requestLine = regexp.MustCompile(`^(\w+) (\S+) ?(.*)$`)
)

// normal removes from an answer what differs from one run to the next.
func normal(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(inOrderName.ReplaceAllString(text, "/#")), &v); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	out, _ := json.Marshal(scrub(v))
	return string(out)
}

func scrub(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	case map[string]any:
		for _, name := range []string{"modifiedIndex", "createdIndex", "index", "expiration"} {
			delete(v, name)
		}
		for name := range v {
			if seconds, ok := v[name].(float64); ok && name == "ttl" {
				v[name] = int(seconds+9) / 10 * 10
			} else {
				v[name] = scrub(v[name])
			}
		}
	}
	return v
}

// do sends a request and returns its status and its body.
func do(t testing.TB, base, method, path, form string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestExchanges(t *testing.T) {
	base := os.Getenv("ETCD2_REFERENCE")
	if base == "" {
		base, _ = newFront(t, Limits{})
	}
	for i, test := range exchanges {
		t.Run(test.name, func(t *testing.T) {
			dir := fmt.Sprintf("/exchange%d-%d", i, time.Now().UnixNano()%1e9)
			lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(test.text, "$", dir)), "\n")
			for ; len(lines) > 0; lines = lines[2:] {
				q := requestLine.FindStringSubmatch(lines[0])
				code, header, body := do(t, base+"/v2/keys", q[1], q[2], q[3])
				want, wantBody, _ := strings.Cut(lines[1], " ")
				if got := normal(t, body); fmt.Sprint(code) != want || got != normal(t, wantBody) {
					t.Errorf("%s:\ngot  %d %s\nwant %s", lines[0], code, body, lines[1])
				}
				if header.Get("X-Etcd-Index") == "" || header.Get("Content-Type") != "application/json" {
					t.Errorf("%s: header %v", lines[0], header)
				}
			}
		})
	}
}
