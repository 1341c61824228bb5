package blackbox

import (
	"context"
	"time"

	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Name: "ssh-crowd", Native: true, Needs: suite.Host, Machines: 1, Limit: 5 * time.Minute,
		Does: "somebody who holds 70 connections open, and opens 4 more each second, locks nobody else out",
		Run:  sshCrowd,
	})
}

func sshCrowd(t *suite.T) {
	m := running(t)
	neighbour(t, m, "crowd", "198.51.100")
	// The unit is started when the 70 are there.
	t.Run(m, `cat >/opt/crowd <<'END'
#!/bin/bash
for ((i = 0; ; i++)); do
	exec {connection}<>/dev/tcp/198.51.100.1/22
	[ $i != 70 ] || systemd-notify --ready
	[ $i -lt 70 ] || read -r -t 0.25 <> <(:)
done
END
chmod +x /opt/crowd
systemd-run --quiet --unit=crowd -p Type=notify -p NotifyAccess=all -p LimitNOFILE=65536 -p NetworkNamespacePath=/run/netns/crowd /opt/crowd`)
	for i := range 8 {
		m.Disconnect()
		ctx, cancel := context.WithTimeout(t.Context, t.Scaled(20*time.Second))
		out, err := m.Run(ctx, "systemctl is-active crowd.service")
		cancel()
		if err != nil {
			t.Fatalf("login %d: %v", i+1, err)
		}
		t.Equal("the crowd", out, "active")
	}
	open := t.Run(m, "ss -Htn state established '( sport = :22 )' src 198.51.100.1 | wc -l")
	if open == "0" {
		t.Error("nobody crowds")
	}
	// Whoever is in keeps the connection while the server restarts.
	t.Run(m, "systemctl stop crowd.service && systemctl reload sshd.service && systemctl restart sshd.service && systemctl is-active sshd.service")
	// The way of Container Linux, and back.
	for _, of := range []struct{ start, stopped string }{{"sshd.socket", "sshd.service"}, {"sshd.service", "sshd.socket"}} {
		t.Run(m, "systemctl start "+of.start)
		m.Disconnect()
		t.Equal(of.stopped+" beside "+of.start, t.Run(m, "systemctl is-active "+of.stopped+" || true"), "inactive")
	}
}
