package blackbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "firewall", Native: true, Needs: suite.Host, Machines: 1, Limit: 10 * time.Minute,
		Does: "neighbours reach published ports only, containers reach all but the metadata, the machine routes for nobody else; limits of a container",
		Run:  firewall,
	})
}

// neighbour makes a namespace beside the machine, connected to it by an interface.
func neighbour(t *suite.T, m *machine.Machine, name, prefix string) {
	t.Run(m, fmt.Sprintf(`set -e
		ip netns add %[1]s
		ip link add %[1]s0 type veth peer name eth0 netns %[1]s
		ip address add %[2]s.1/24 dev %[1]s0
		ip link set %[1]s0 up
		ip -n %[1]s address add %[2]s.2/24 dev eth0
		ip -n %[1]s link set eth0 up
		ip -n %[1]s route add default via %[2]s.1`, name, prefix))
}

func firewall(t *suite.T) {
	reference, authority := serveImage(t, talker)
	m := instance(t, "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metadata") })
	healthy(t, m)
	pull(t, m, reference, authority)
	neighbour(t, m, "lan", "198.51.100")
	neighbour(t, m, "far", "203.0.113")
	t.Run(m, `set -e
		docker network create web >/dev/null
		docker run -d --name published -p 8080:80 `+reference+` serve
		docker run -d --name local -p 127.0.0.1:8081:80 `+reference+` serve
		docker run -d --name closed `+reference+` serve
		docker run -d --name web --network web `+reference+` serve
		cat >/opt/lan <<'END'
#!/bin/sh
# A connection that is closed with a request unread is reset, perhaps before its answer has arrived.
while read -r line && [ ${#line} -gt 1 ]; do :; done
printf 'HTTP/1.0 200 OK\r\n\r\nlan'
END
		chmod +x /opt/lan
		systemd-run --quiet --unit=server-lan -p NetworkNamespacePath=/run/netns/lan socat TCP-LISTEN:80,fork,reuseaddr EXEC:/opt/lan`)
	address := func(container string) string {
		return t.Run(m, "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "+container)
	}
	const host = ""
	reaches := func(from, to, want string) {
		t.Helper()
		in := ""
		if from != host {
			in = "ip netns exec " + from + " "
		}
		command := fmt.Sprintf("%scurl --silent --noproxy '*' --retry 20 --retry-delay 1 --retry-connrefused --connect-timeout %d http://%s/", in, t.Seconds(10), to)
		t.Equal(fmt.Sprintf("%q hears from %s", from, to), t.Run(m, command), want)
	}
	// All are asked at once, since each takes the whole time.
	nothing := func(from string, to ...string) {
		t.Helper()
		ask := fmt.Sprintf("ip netns exec %s curl --silent --output /dev/null --noproxy '*' --max-time %d http://$to/", from, t.Seconds(5))
		t.Equal("what "+from+" reaches and must not", t.Run(m, "for to in "+strings.Join(to, " ")+"; do { ! "+ask+" || echo $to; } & done; wait"), "")
	}

	reaches(host, address("closed"), "served")
	reaches(host, "127.0.0.1:8081", "served")
	reaches("lan", "198.51.100.1:8080", "served")
	nothing("lan", address("published"), address("local"), address("closed"), address("web"), "198.51.100.1:8081")
	nothing("far", "198.51.100.2") // the machine is no router

	from := func(arguments, url string) string {
		return t.Run(m, "docker run --rm "+arguments+" "+reference+" get http://"+url+"/ || true")
	}
	t.Equal("a container hears from outside", from("", "198.51.100.2"), "lan")
	t.Equal("a container hears from its neighbour", from("--network web", "web"), "served")
	reaches(host, "169.254.169.254", "metadata")
	for _, network := range []string{"", "--network web"} {
		if got := from(network, "169.254.169.254"); strings.Contains(got, "metadata") {
			t.Errorf("a container %s reaches the platform's metadata: %s", network, got)
		}
	}
	t.Run(m, "systemctl stop metadata-firewall.service")
	t.Equal("a container hears, as the operator chose", from("", "169.254.169.254"), "metadata")

	limits := strings.Fields(t.Run(m, "docker run --rm "+reference+" limits"))
	// The host of a machine on its kernel may permit less.
	if n, err := strconv.Atoi(limits[0]); err != nil || n > 524288 {
		t.Errorf("a container may have %s descriptors", limits[0])
	}
	if !t.Native() && limits[1] == "max" {
		t.Error("a container may have any number of processes")
	}
}

// talker is a program that serves HTTP, asks for a URL, or prints its limits.
const talker = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "serve":
		fmt.Println(http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })))
	case "get":
		client := http.Client{Timeout: 5 * time.Second}
		response, err := client.Get(os.Args[2])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		_, _ = io.Copy(os.Stdout, response.Body)
	case "limits":
		// Go has raised the soft limit of this process to the hard one.
		pids, err := os.ReadFile("/sys/fs/cgroup/pids.max")
		if err != nil {
			pids = []byte("max")
		}
		var limit syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
		fmt.Println(limit.Max, strings.TrimSpace(string(pids)))
	}
}
`
