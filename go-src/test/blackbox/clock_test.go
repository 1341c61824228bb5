package blackbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"coreos/test/machine"
	"coreos/test/suite"
)

func init() {
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "clock-1970", Machines: 1, Limit: 8 * time.Minute,
		Does: "a machine whose clock forgets the time: not before the image was built, right as soon as a server answers, not before that after a restart",
		Run:  clock1970,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "clock-2040", Needs: []suite.Need{suite.Bundle}, Machines: 1, Limit: 8 * time.Minute,
		Does: "a machine whose clock is years ahead: healthy, says that metadata has expired or the clock is wrong, all right when a server has set it",
		Run:  clock2040,
	})
}

// timeServer answers as an NTP server (RFC 5905) with the time of the host. systemd-timesyncd
// asks only port 123.
func timeServer(t *suite.T) (stop func()) {
	t.Helper()
	connection, err := net.ListenPacket("udp", "127.0.0.1:123")
	t.Must(err)
	go func() {
		request := make([]byte, 512)
		for {
			n, from, err := connection.ReadFrom(request)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || n < 48 {
				continue
			}
			reply := make([]byte, 48)
			reply[0], reply[1], reply[2], reply[3] = 4<<3|4, 1, request[2], 0xec // version 4, server; stratum 1
			copy(reply[12:], "TEST")
			copy(reply[24:32], request[40:48])
			const since1900 = 2208988800
			now := time.Now()
			stamp := uint64(now.Unix()+since1900)<<32 | uint64(now.Nanosecond())<<32/1e9
			for _, at := range []int{16, 32, 40} {
				binary.BigEndian.PutUint64(reply[at:], stamp)
			}
			_, _ = connection.WriteTo(reply, from)
		}
	}()
	t.Cleanup(func() { _ = connection.Close() })
	return func() { _ = connection.Close() }
}

// wrongClock starts a machine with a clock, without a time server, that runs etcd with a lease
// of an hour.
func wrongClock(t *suite.T, clock string) *machine.Machine {
	t.Helper()
	m := t.Start(machine.Config{Disk: proven(t), Args: []string{"-rtc", "base=" + clock}})
	healthy(t, m)
	t.Equal("system state", t.Run(m, "systemctl is-system-running --wait"), "running")
	t.Equal("synchronised", t.Run(m, "timedatectl show --property=NTPSynchronized --value"), "no")
	t.Run(m, `systemctl start etcd-member && lease=$(etcdctl lease grant 3600 | cut -d' ' -f2) && echo $lease >/root/lease && etcdctl put --lease=$lease key value`)
	return m
}

// setByServer waits until a time server has set the machine's clock, and checks that what runs goes on.
func setByServer(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Run(m, `mkdir -p /etc/systemd/timesyncd.conf.d && printf '[Time]\nNTP=10.0.2.2\n' >/etc/systemd/timesyncd.conf.d/test.conf
systemctl restart systemd-timesyncd && until [ $(timedatectl show --property=NTPSynchronized --value) = yes ]; do sleep 0.2; done`)
	if off := time.Until(clockOf(t, m)).Abs(); off > time.Minute {
		t.Errorf("the clock differs by %v", off)
	}
	t.Equal("key with a lease", t.Run(m, "etcdctl get key --print-value-only"), "value")
	left := strings.Fields(t.Run(m, "etcdctl lease timetolive $(cat /root/lease) | grep -o 'remaining([0-9]*' | tr '(' ' '"))
	if seconds, err := strconv.Atoi(left[len(left)-1]); err != nil || seconds < 3000 || seconds > 3600 {
		t.Errorf("the lease of an hour has left: %v", left)
	}
	t.Equal("timers that never elapse", t.Run(m, `for u in $(systemctl list-units --type=timer --state=active --plain --no-legend | cut -d' ' -f1); do
systemctl show -p NextElapseUSecRealtime -p NextElapseUSecMonotonic -p SubState $u | tr '\n' ' ' | grep -q 'NextElapseUSecRealtime= NextElapseUSecMonotonic=infinity SubState=waiting' && echo $u; done; true`), "")
	t.Equal("system state", t.Run(m, "systemctl is-system-running"), "running")
}

func clockOf(t *suite.T, m *machine.Machine) time.Time {
	t.Helper()
	return timeOf(t, m, "date +%s")
}

// timeOf is a time that a command prints in seconds since 1970.
func timeOf(t *suite.T, m *machine.Machine, command string) time.Time {
	t.Helper()
	seconds, err := strconv.ParseInt(t.Run(m, command), 10, 64)
	t.Must(err)
	return time.Unix(seconds, 0)
}

func clock1970(t *suite.T) {
	m := wrongClock(t, "1970-01-01T00:00:00")
	built := timeOf(t, m, "stat -c %Y /usr/lib/clock-epoch")
	if now := clockOf(t, m); now.Before(built) || now.After(built.Add(time.Hour)) {
		t.Errorf("the clock says %v on a machine whose image is of %v", now, built)
	}
	stop := timeServer(t)
	setByServer(t, m)
	stop()

	// Its clock says 1970 again.
	t.Run(m, "systemctl disable --now etcd-member 2>/dev/null; true")
	before := clockOf(t, m)
	reboot(t, m)
	if now := clockOf(t, m); now.Before(before.Add(-2 * time.Minute)) {
		t.Errorf("after a restart the clock says %v, it was %v", now, before)
	}
}

func clock2040(t *suite.T) {
	m := wrongClock(t, "2040-06-01T00:00:00")
	if year := clockOf(t, m).UTC().Year(); year != 2040 {
		t.Errorf("the year is %d", year)
	}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Clean(t.Env.ImageFile("coreos_production_update.bundle")))
	})
	t.Run(m, fmt.Sprintf("curl -fsS -o /root/update.bundle http://10.0.2.2:%s/ && echo REBOOT_STRATEGY=off >/etc/coreos/update.conf && systemctl restart update-engine locksmithd", port(server)))
	const apply = "update_engine_client --apply /root/update.bundle"
	if message := t.Fails(m, apply); !strings.Contains(message, "has expired") || !strings.Contains(message, "it is 2040-06-01") {
		t.Errorf("a bundle in 2040: %s", message)
	}
	timeServer(t)
	setByServer(t, m)
	t.Run(m, "systemctl restart update-engine")
	out, err := m.Run(t.Context, apply)
	if err != nil && strings.Contains(err.Error(), "expired") {
		t.Errorf("with the right clock: %v", err)
	}
	t.Logf("with the right clock: %s, %v", out, err)
}
