package blackbox

import (
	"encoding/base64"
	"fmt"
	"strings"
)

const (
	// nobody runs a command as a process that has no privilege, in the machine's network.
	nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "
	// inContainer runs a command in a container without privileges that has the machine's network.
	inContainer = "docker run --rm -i --network=host -u 65534:65534 --cap-drop=ALL -v /usr:/usr:ro links "
	loopback    = "etcdctl --command-timeout=10s --endpoints=http://127.0.0.1:2379 "
	unitKey     = "/_coreos.com/fleet/v3/cluster/unit/evil.service"
)

// putJSON is the JSON of a request to put a key.
func putJSON(key string) string {
	return fmt.Sprintf(`'{"key":"%s","value":"eA=="}'`, base64.StdEncoding.EncodeToString([]byte(key)))
}

// links makes an image for inContainer: the links of the machine's root directory.
const links = "tar -cC / $(cd / && ls -d bin sbin lib lib64) | docker import - links >/dev/null"

// peerDoors has processes and containers on a machine of a cluster without certificates try to change what
// the operating system keeps in etcd, on this machine and on another one.
func (c *cluster) peerDoors() {
	m := c.nodes[0]
	c.t.Run(m, links)
	for _, address := range []string{"10.9.0.1", "10.9.0.2"} {
		for _, from := range []string{nobody, inContainer, "docker run --rm -v /usr:/usr:ro links "} {
			c.t.Run(m, "! "+from+"curl -s --noproxy '*' --max-time 2 http://"+address+":2380/version")
			c.t.Run(m, from+"curl -sf --noproxy '*' --max-time 20 http://"+address+":2379/version >/dev/null")
		}
		at := "etcdctl --command-timeout=10s --endpoints=http://" + address + ":2379 "
		for _, command := range []string{"put " + unitKey + " x", "member add evil --peer-urls=http://10.9.0.1:9999", "member add evil --peer-urls=http://10.9.0.4:2380"} {
			c.t.Run(m, nobody+at+command+" 2>&1 | grep -q 'without a client certificate'")
		}
		c.t.Run(m, nobody+at+"put /app/x y")
	}
	// It is the rules that keep peers apart, not the network.
	const other = "curl -sf --noproxy '*' --max-time 20 http://10.9.0.2:2380/version"
	c.t.Run(m, "nft flush chain inet coreos-etcd output && "+nobody+other+" && nft -f /usr/lib/coreos/firewall/etcd-peers.nft && ! "+nobody+other)
	c.t.Run(m, "docker rmi links")
}

// doors has somebody without privileges try to change what the operating system keeps in etcd, by every
// way on the machine's loopback.
func (l *lone) doors() {
	l.t.Run(l.m, "systemctl start etcd2-proxy && "+links)
	lease := l.t.Run(l.m, `printf %x $(etcdctl get --prefix /_coreos.com/fleet/v3/cluster/machine/ -w fields | sed -n 's/^"Lease" : //p')`)
	const certificate = "without a client certificate"
	for _, way := range []struct{ command, reason string }{
		{loopback + "put " + unitKey + " x", certificate},
		{loopback + "put /coreos.com/updateengine/rebootlock/semaphore x", certificate},
		{loopback + "put /coreos.com/network/config x", certificate},
		{loopback + "del '' --from-key", certificate},
		{loopback + "del --prefix /_coreos", certificate},
		{loopback + "lease revoke " + lease, certificate},
		{loopback + "member add evil --peer-urls=http://10.0.2.15:2380", certificate},
		{loopback + "user add root:x", certificate},
		{loopback + "auth enable", ""},
		{loopback + "lock /_coreos.com/fleet/v3", certificate},
		{"curl -s --fail-with-body http://127.0.0.1:2379/v3/maintenance/alarm -d '{\"action\":\"ACTIVATE\",\"alarm\":\"NOSPACE\",\"memberID\":\"1\"}'", certificate},
		{loopback + "defrag", certificate},
		{loopback + "snapshot save /tmp/nobody.db", certificate},
		{"sh -c 'printf \"\\n\\nput " + unitKey + " x\\n\\n\\n\" | " + loopback + "txn -i=false'", certificate},
		{"curl -s --fail-with-body http://127.0.0.1:2379/v3/kv/put -d " + putJSON(unitKey), certificate},
		{"curl -s --fail-with-body http://127.0.0.1:2379/v3/lock/lock -d '{\"name\":\"L19jb3Jlb3MuY29t\"}'", certificate},
		{"curl -s --fail-with-body -X PUT http://127.0.0.1:4001/v2/keys" + unitKey + " -d value=x", certificate},
		{"curl -s --fail-with-body -X DELETE http://127.0.0.1:4001/v2/keys/_coreos.com?recursive=true", certificate},
		{"etcdctl --endpoints=unix:///run/etcd/etcd.sock --dial-timeout=1s --command-timeout=1s put " + unitKey + " x", ""},
		{"curl -sS http://127.0.0.1:2380/version", "connect to"}, // peers may write everything
	} {
		out := l.t.Run(l.m, "! "+nobody+way.command+" 2>&1")
		l.contains(way.command, out, way.reason)
	}
	for _, command := range []string{loopback + "put " + unitKey + " x", "etcdctl put " + unitKey + " x"} {
		l.contains("in a container: "+command, l.t.Run(l.m, "! "+inContainer+command+" 2>&1"), certificate)
	}
	l.t.Equal("the unit", l.t.Run(l.m, "etcdctl get "+unitKey), "")
	// Keys of its own are as ever, and what the system keeps can be read.
	for _, run := range []string{nobody, inContainer} {
		l.t.Run(l.m, "set -e; "+run+loopback+"put /app/a x; "+run+"etcdctl get --prefix / --keys-only | grep -q /_coreos.com/fleet/")
	}
	l.t.Run(l.m, "set -e; lease=$("+nobody+loopback+"lease grant 60 | cut -d' ' -f2); "+nobody+loopback+"put /app/b y --lease=$lease; "+nobody+loopback+"lease revoke $lease; "+
		nobody+"curl -sf http://127.0.0.1:2379/v3/kv/put -d "+putJSON("/app/c")+"; "+nobody+"curl -sf -X PUT http://127.0.0.1:4001/v2/keys/app/d -d value=x; "+nobody+loopback+"del --prefix /app/")
	// Root has the socket.
	l.t.Run(l.m, "set -e; etcdctl put /coreos.com/network/config '{}'; etcdctl del /coreos.com/network/config; locksmithctl lock door; locksmithctl unlock door; etcd-memberctl defrag --force; "+
		"systemctl start etcd-snapshot etcd-defrag; cd /tmp; fleetctl start mine.service; fleetctl destroy mine; "+
		"curl -sf --unix-socket /run/etcd/etcd.sock http://localhost/v3/kv/put -d "+putJSON("/coreos.com/x")+"; etcdctl del /coreos.com/x")
	l.t.Equal("who may open the socket", l.t.Run(l.m, "stat -c %U:%G:%a /run/etcd /run/etcd/etcd.sock"), strings.Join([]string{"etcd:etcd:750", "etcd:etcd:660"}, "\n"))
	l.t.Run(l.m, "systemctl stop etcd2-proxy; docker rmi links")
}
