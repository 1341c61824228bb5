package blackbox

import (
	"fmt"
	"time"

	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "cluster-restore", Native: true, Needs: suite.Host, Machines: 3, Limit: 15 * time.Minute,
		Does: "a cluster that coreos.etcd2 configures is restored from a snapshot on one machine, and the others join, with the documented commands",
		Run:  clusterRestores,
	})
}

// clusterRestores follows docs/etcd-operations.md, on machines that docs/etcd.md configures.
func clusterRestores(t *suite.T) {
	c := newCluster(t, "", "")
	first := c.nodes[0]
	t.Run(first, "etcdctl put before yes && etcd-memberctl snapshot && etcdctl put after yes")
	for _, m := range c.nodes[1:] {
		t.Run(m, "systemctl stop etcd-member")
	}
	t.Run(first, "etcd-memberctl restore /var/lib/etcd-snapshots/etcd-*.db --yes")
	t.Equal("the restored member", t.Run(first, "etcdctl member list -w simple | cut -d, -f3,4 | tr -d ' '"), "node1,http://10.9.0.1:2380")
	t.Equal("keys", t.Run(first, "etcdctl get --prefix '' --keys-only | grep -xE 'before|after'"), "before")
	for _, m := range c.nodes[1:] {
		t.Run(m, fmt.Sprintf("timeout %d etcd-memberctl join --wipe --endpoint http://10.9.0.1:2379", t.Seconds(120)))
	}
	c.wantHealthy()
	t.Equal("members", t.Run(first, "etcdctl member list | grep -c started"), "3")
	for i, m := range c.nodes {
		t.Run(m, "{ etcd-memberctl check || [ $? = 3 ]; } && ls -d /var/lib/etcd-former/*/member && [ $(ls /var/lib/etcd) = member ]")
		t.Equal(fmt.Sprintf("what node%d has", i+1), t.Run(m, "etcdctl get --consistency=s --print-value-only before"), "yes")
		reboot(t, m)
		c.wantHealthy()
	}
	// What cannot be known is refused.
	t.Run(first, "mkdir -p /etc/systemd/system/etcd-member.service.d && printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/etcd --config-file=/etc/etcd/etcd.yml\\n' >/etc/systemd/system/etcd-member.service.d/50-file.conf && systemctl daemon-reload")
	t.Run(first, "! etcd-memberctl check 2>&1 && etcd-memberctl check 2>&1 | grep -e --env-file && rm -r /etc/systemd/system/etcd-member.service.d && systemctl daemon-reload")
}
