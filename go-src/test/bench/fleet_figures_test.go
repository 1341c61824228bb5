package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"coreos/test/etcdtest"
)

// streams marks the part of a metric that is of gRPC's streams.
const streams = "/streams"

// scrape returns a process's metrics, each summed over its labels.
func scrape(url string) (map[string]float64, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	figures := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); strings.Contains(name, "{") {
			name, _, _ = strings.Cut(name, "{")
			rest = lines.Text()[i+1:]
		}
		if value, err := strconv.ParseFloat(rest, 64); err == nil {
			figures[name] += value
			if strings.Contains(lines.Text(), `grpc_type="bidi_stream"`) {
				figures[name+streams] += value
			}
		}
	}
	return figures, lines.Err()
}

// traffic is what an etcd was asked until now.
type traffic struct {
	at                   time.Time
	requests, bytes, cpu float64
}

// measure reads it: requests of both APIs, where each message on a stream of version 3
// counts as one (but not its end, which etcd counts as received), and all bytes on the
// wire, which are counted alike for both.
func measure(t *testing.T, etcd *etcdtest.Cluster) traffic {
	t.Helper()
	figures, err := scrape(etcd.Endpoint(0) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	requests := figures["grpc_server_msg_received_total"] - figures["grpc_server_handled_total"+streams] + figures["etcd_http_received_total"]
	now := traffic{at: time.Now(), requests: requests, cpu: figures["process_cpu_seconds_total"]}
	out, err := exec.Command("ip", "netns", "exec", etcd.Member(0).Namespace(), "cat", "/proc/net/dev").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, counters, ok := strings.Cut(line, ":")
		if fields := strings.Fields(counters); ok && strings.TrimSpace(name) != "lo" && len(fields) > 8 {
			for _, i := range []int{0, 8} { // received, sent
				n, _ := strconv.ParseFloat(fields[i], 64)
				now.bytes += n
			}
		}
	}
	return now
}

// fsyncTime returns how long the disk takes to sync, in milliseconds: writes cannot be faster.
func fsyncTime(t *testing.T, etcd *etcdtest.Cluster) float64 {
	figures, err := scrape(etcd.Endpoint(0) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return 1000 * figures["etcd_disk_wal_fsync_duration_seconds_sum"] / figures["etcd_disk_wal_fsync_duration_seconds_count"]
}

// since is the traffic between two moments.
func (now traffic) since(was traffic) traffic {
	return traffic{now.at, now.requests - was.requests, now.bytes - was.bytes, now.cpu - was.cpu}
}

// print prints a figure, and beside it the one to compare with, if that is not 0.
func print(what string, ours, theirs float64, unit string) {
	if theirs == 0 {
		fmt.Printf("%-46s  %10.4g %s\n", what, ours, unit)
		return
	}
	fmt.Printf("%-46s  %10.4g %-8s  upstream %10.4g  (%.3g)\n", what, ours, unit, theirs, ours/theirs)
}
