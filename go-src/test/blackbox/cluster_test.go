package blackbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "cluster", Native: true, Needs: suite.Host, Machines: 3, Limit: 12 * time.Minute,
		Does: "three machines become a cluster, which outlives the loss of its leader; that catches up; who may change what the system keeps in etcd",
		Run:  clusterSurvives,
	})
	suite.Register(suite.Test{
		Suite: suite.Soak, Name: "cluster-update", Needs: suite.Build, Machines: 3, Limit: 40 * time.Minute,
		Does: "three machines update one after the other while etcd is written to; a bad release stops at the first",
		Run:  clusterUpdates,
	})
}

func init() {
	suite.Register(suite.Test{
		Name: "cluster-reboots", Native: true, Needs: suite.Host, Machines: 3, Limit: 15 * time.Minute,
		Does: "three machines that need a restart do it once each, one after the other, while etcd is written to",
		Run:  clusterReboots,
	})
	suite.Register(suite.Test{
		Name: "cluster-replace", Native: true, Needs: suite.Host, Machines: 3, Limit: 15 * time.Minute,
		Does: "a machine of a cluster is lost with its disk; a new one takes its place",
		Run:  clusterReplaces,
	})
}

// cluster is three machines from one image.
type cluster struct {
	t       *suite.T
	network *machine.Network
	nodes   [3]*machine.Machine
	// Times of etcd's elections. Machines that share two processors are slow to answer,
	// emulated ones most.
	heartbeat, election time.Duration
	// more is added to each cloud-config below coreos:units, with NODE and ADDRESS
	// replaced.
	more string
}

// config is the cloud-config of a node.
func (c *cluster) config(i int, state, server string) string {
	var members []string
	for j := range c.nodes {
		members = append(members, fmt.Sprintf("node%d=http://10.9.0.%d:2380", j+1, j+1))
	}
	return fmt.Sprintf(`#cloud-config
hostname: node%[1]d
coreos:
  etcd2:
    name: node%[1]d
    initial-cluster: %[2]s
    initial-cluster-state: %[3]s
    initial-advertise-peer-urls: http://10.9.0.%[1]d:2380
    listen-peer-urls: http://10.9.0.%[1]d:2380
    advertise-client-urls: http://10.9.0.%[1]d:2379
    listen-client-urls: http://0.0.0.0:2379
    heartbeat-interval: %[4]d
    election-timeout: %[5]d
  update:
    reboot-strategy: etcd-lock
    server: %[6]q
  units:
    - name: 10-cluster.network
      content: |
        [Match]
        MACAddress=%[7]s
        [Network]
        Address=10.9.0.%[1]d/24
        [Link]
        RequiredForOnline=no
    - name: etcd-member.service
      enable: true
      command: start
%[8]s`, i+1, strings.Join(members, ","), state, c.heartbeat.Milliseconds(), c.election.Milliseconds(), server, mac(i),
		strings.NewReplacer("NODE", fmt.Sprintf("node%d", i+1), "ADDRESS", fmt.Sprintf("10.9.0.%d", i+1)).Replace(c.more))
}

func mac(i int) string { return fmt.Sprintf("52:54:00:c1:00:%02x", i+1) }

// newCluster boots three machines for the first time, each from its own cloud-config.
func newCluster(t *suite.T, server, more string) *cluster {
	c := &cluster{t: t, network: t.Network(), more: more, heartbeat: t.Scaled(500 * time.Millisecond), election: t.Scaled(5 * time.Second)}
	if t.Native() {
		c.heartbeat, c.election = t.Scaled(100*time.Millisecond), t.Scaled(time.Second)
	}
	for i := range c.nodes {
		c.boot(i, fmt.Sprintf("node%d", i+1), "new", server)
	}
	for _, m := range c.nodes {
		healthy(t, m)
	}
	c.wantHealthy()
	return c
}

// boot switches a node on with a new disk.
func (c *cluster) boot(i int, name, state, server string) {
	path := filepath.Join(c.t.Dir, name+".yml")
	c.t.Must(os.WriteFile(path, []byte(c.config(i, state, server)), 0o644))
	c.nodes[i] = boot(c.t, machine.Config{Name: name, Network: c.network, MAC: mac(i), Forward: []int{2379}, CloudConfig: path})
}

// restart switches a node on again that was cut off.
func (c *cluster) restart(i int) { c.nodes[i] = again(c.t, c.nodes[i]) }

// wantHealthy waits until each member says that all are healthy.
func (c *cluster) wantHealthy() {
	c.t.Helper()
	for _, m := range c.nodes {
		// etcdctl waits for an answer itself, but not for members that come up.
		c.t.Run(m, fmt.Sprintf("timeout %d sh -c 'until etcdctl --command-timeout=20s --dial-timeout=20s endpoint health --cluster; do sleep 1; done'", c.t.Seconds(120)))
	}
}

// etcd returns a client of some of the nodes.
func (c *cluster) etcd(nodes ...*machine.Machine) *clientv3.Client {
	c.t.Helper()
	var endpoints []string
	for _, m := range nodes {
		endpoints = append(endpoints, "http://"+m.Address(2379))
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 5 * time.Second})
	c.t.Must(err)
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

func clusterSurvives(t *suite.T) {
	c := newCluster(t, "", "")
	t.Equal("members", t.Run(c.nodes[0], "etcdctl member list | grep -c started"), "3")
	o := c.observe()
	o.wantWrites(t, 5)
	c.peerDoors()
	lost := c.leader()
	c.nodes[lost].Cut()
	o.wantWrites(t, 6)
	other := c.nodes[(lost+1)%3]
	t.Run(other, "etcdctl put while-away yes && etcdctl get while-away")
	c.restart(lost)
	healthy(t, c.nodes[lost])
	c.wantHealthy()
	t.Equal("what was written meanwhile, read from the machine's own copy",
		t.Run(c.nodes[lost], "etcdctl get --consistency=s --print-value-only while-away"), "yes")
	o.wantNoGap(t)
}

// leader returns the node that leads.
func (c *cluster) leader() int {
	c.t.Helper()
	for i, m := range c.nodes {
		if c.t.Run(m, `etcdctl endpoint status -w fields | awk '/"MemberID"/ { id = $3 } /"Leader"/ { leader = $3 } END { print id == leader }'`) == "1" {
			return i
		}
	}
	c.t.Fatal("no node leads")
	return 0
}

func clusterUpdates(t *suite.T) {
	u := newUpdates(t)
	c := newCluster(t, u.url()+"/v1/update/", "")
	w := c.watchDown()
	o := c.observe()
	boots := c.bootIDs()
	u.offer(goodVersion)
	start := time.Now()
	for _, m := range c.nodes {
		t.Run(m, "update_engine_client -check_for_update")
	}
	c.waitVersions(goodVersion)
	t.Logf("all three run %s after %.0f s", goodVersion, time.Since(start).Seconds())
	o.wantNoGap(t)
	w.wantOneAtATime()
	for i, id := range c.bootIDs() {
		if id == boots[i] {
			t.Errorf("node%d did not restart", i+1)
		}
	}

	boots = c.bootIDs()
	u.offer(badVersion)
	for _, m := range c.nodes {
		t.Run(m, "update_engine_client -check_for_update")
	}
	bad := c.waitFailed()
	status := t.Run(c.nodes[(bad+1)%3], "locksmithctl status")
	t.Logf("%s", status)
	if want := fmt.Sprintf("Version %s FAILED on node%d", badVersion, bad+1); !strings.Contains(status, want) || !strings.Contains(status, "unhealthy:90-shop") {
		t.Errorf("the status does not say what failed where and why")
	}
	// The others have installed the version, and do not restart.
	for i, m := range c.nodes {
		if i == bad {
			continue
		}
		t.Run(m, "update_engine_client -update; update_engine_client -needs_reboot")
		t.Run(m, fmt.Sprintf(`timeout %d sh -c 'until systemctl status locksmithd | grep "Status:.*version %s failed on node"; do sleep 1; done'`, t.Seconds(100), badVersion))
	}
	for i, id := range c.bootIDs() {
		if (id != boots[i]) != (i == bad) {
			t.Errorf("node%d: restarted is %v", i+1, id != boots[i])
		}
	}
}

// clusterReboots restarts a cluster as an update does.
func clusterReboots(t *suite.T) {
	c := newCluster(t, "", "")
	w := c.watchDown()
	o := c.observe()
	o.wantWrites(t, 5)
	boots := c.bootIDs()
	for _, m := range c.nodes {
		t.Run(m, "systemd-run --quiet --on-active=1s locksmithctl send-need-reboot")
	}
	for i, m := range c.nodes {
		c.until(m, "[ $(cat /proc/sys/kernel/random/boot_id) != "+boots[i]+" ]")
		healthy(t, m)
	}
	c.waitUnlocked()
	again := c.bootIDs()
	c.wantHealthy()
	o.wantNoGap(t)
	w.wantOneAtATime()
	for i, id := range c.bootIDs() {
		if id != again[i] {
			t.Errorf("node%d restarted twice", i+1)
		}
	}
}

func (c *cluster) bootIDs() (ids []string) {
	c.t.Helper()
	for _, m := range c.nodes {
		ids = append(ids, c.t.Run(m, "cat /proc/sys/kernel/random/boot_id"))
	}
	return ids
}

// waitVersions waits until each node runs a version and gave the lock back.
func (c *cluster) waitVersions(version string) {
	c.t.Helper()
	for _, m := range c.nodes {
		c.until(m, "grep -qx VERSION_ID="+version+" /usr/lib/os-release")
		healthy(c.t, m)
	}
	c.waitUnlocked()
}

// waitUnlocked waits until no node holds the lock for restarts.
func (c *cluster) waitUnlocked() {
	c.t.Helper()
	c.until(c.nodes[0], `[ "$(etcdctl get --print-value-only /coreos.com/updateengine/rebootlock/semaphore)" = '{"semaphore":1,"max":1,"holders":[]}' ]`)
}

// waitFailed waits until the semaphore says that a node failed, and returns which.
func (c *cluster) waitFailed() int {
	c.t.Helper()
	etcd := c.etcd(c.nodes[:]...)
	for {
		answer, err := etcd.Get(c.t.Context, "/coreos.com/updateengine/rebootlock/semaphore")
		c.t.Must(err)
		text := string(answer.Kvs[0].Value)
		if strings.Contains(text, `"failed_version":"`+badVersion+`"`) {
			return slices.IndexFunc([]int{1, 2, 3}, func(n int) bool { return strings.Contains(text, fmt.Sprintf(`"host":"node%d"`, n)) })
		}
		select {
		case <-c.t.Context.Done():
			c.t.Fatalf("no node failed: %s", text)
		case <-time.After(time.Second):
		}
	}
}

// until repeats a command until it succeeds, also while the machine restarts.
func (c *cluster) until(m *machine.Machine, command string) {
	c.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(c.t.Context, c.t.Scaled(2*time.Minute))
		_, err := m.Run(ctx, command)
		cancel()
		if err == nil {
			return
		}
		m.Disconnect()
		select {
		case <-c.t.Context.Done():
			c.t.Fatalf("%s: %v", command, err)
		case <-time.After(time.Second):
		}
	}
}

// clusterReplaces loses a machine with its disk. The new one comes up from the same
// config, and one command puts it in the place of the old one.
func clusterReplaces(t *suite.T) {
	c := newCluster(t, "", "")
	o := c.observe()
	o.wantWrites(t, 5)
	const lost = 2
	c.nodes[lost].Cut()
	c.boot(lost, "node3-new", "new", "")
	m := c.nodes[lost]
	healthy(t, m)
	t.Logf("%s", t.Run(m, "etcd-memberctl replace node3 --name node3 --peer-url http://10.9.0.3:2380 --wipe --endpoint http://10.9.0.1:2379,http://10.9.0.2:2379"))
	c.wantHealthy()
	t.Equal("members", t.Run(c.nodes[0], "etcdctl member list | grep -c started"), "3")
	t.Run(c.nodes[0], "etcdctl put replaced yes")
	t.Equal("what was written, read from the new machine's own copy",
		t.Run(m, fmt.Sprintf("timeout %d sh -c 'until etcdctl get --consistency=s --print-value-only replaced | grep .; do sleep 1; done'", t.Seconds(60))), "yes")
	// It is a member for good.
	reboot(t, m)
	c.wantHealthy()
	t.Run(m, "systemctl start etcd-check.service && systemctl is-active etcd-check.timer etcd-snapshot.timer etcd-defrag.timer")
	t.Run(m, "etcd-memberctl snapshot && ls /var/lib/etcd-snapshots/etcd-*.db")
	o.wantNoGap(t)
}
