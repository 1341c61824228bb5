package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"coreos/test/machine"
)

// etcdKind is an etcd that is measured in the machine, each in turn under the same unit.
type etcdKind struct {
	name   string
	dropIn string // what it changes of the unit
	loads  []etcdLoad
}

type etcdLoad struct {
	name, flags string
	rates       []float64
}

// TestBenchEtcd measures etcd in a machine under its unit and configuration beside
// Debian's, which gets the same: rates of writes and reads by the API of version 3; and
// the API of version 2 of etcd2-proxy beside Debian's own (--enable-v2).
func TestBenchEtcd(t *testing.T) {
	output, top := os.Getenv("COREOS_OUTPUT"), os.Getenv("COREOS_TOP")
	_, image, ok := strings.Cut(strings.Fields(os.Getenv("COREOS_IMAGES") + " ")[0], "=")
	if !ok {
		t.Skip("COREOS_IMAGES is not set: run this by make bench")
	}
	dir := t.TempDir()
	debian := debianEtcd(t, filepath.Join(output, "bench"))
	run(t, "env", "-C", filepath.Join(top, "go-src"), "CGO_ENABLED=0", "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "etcdload"), "./test/etcdload")
	run(t, "cp", debian, filepath.Join(dir, "debian-etcd"))
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer files.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	m := start(t, dir, image)
	defer m.Cut()
	in := func(command string) string {
		t.Helper()
		out, err := m.Run(ctx, command)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(files.URL, "http://"), ":")
	in(fmt.Sprintf("mkdir -p /opt/bin && cd /opt/bin && for f in etcdload debian-etcd; do curl -sSO http://10.0.2.2:%s/$f && chmod 755 $f; done", port))

	v3 := []etcdLoad{{name: "puts, API v3", flags: ""}, {name: "ranges, API v3", flags: "-read"}}
	v2 := func(port int) []etcdLoad {
		flags := fmt.Sprintf("-api v2 -endpoint http://127.0.0.1:%d ", port)
		return []etcdLoad{{name: "puts, API v2", flags: flags}, {name: "gets, API v2", flags: flags + "-read"}}
	}
	kinds := []*etcdKind{
		{name: "coreos", dropIn: "[Unit]", loads: append(slices.Clone(v3), v2(4001)...)},
		{name: "debian", dropIn: "[Service]\nEnvironment=ETCD_ENABLE_V2=true ETCD_LOGGER=zap\nExecStart=\nExecStart=/opt/bin/debian-etcd", loads: append(slices.Clone(v3), v2(2379)...)},
	}
	for range rounds {
		for _, kind := range kinds {
			in("systemctl stop etcd2-proxy etcd-member; rm -rf /var/lib/etcd/*; mkdir -p /run/systemd/system/etcd-member.service.d && cat >/run/systemd/system/etcd-member.service.d/50-bench.conf <<'END'\n" +
				kind.dropIn + "\nEND\nsystemctl daemon-reload && systemctl start etcd-member etcd2-proxy")
			for i := range kind.loads {
				rate, err := strconv.ParseFloat(in("/opt/bin/etcdload "+kind.loads[i].flags), 64)
				if err != nil {
					t.Fatal(err)
				}
				kind.loads[i].rates = append(kind.loads[i].rates, rate)
			}
		}
	}
	fmt.Println("versions:", in("etcd --version | head -1"), "and", in("/opt/bin/debian-etcd --version | head -1"))
	for i, load := range kinds[0].loads {
		ours, theirs := median(load.rates), median(kinds[1].loads[i].rates)
		fmt.Printf("%-30s  coreos %.0f/s (%.2f)  debian %.0f/s\n", load.name, ours, ours/theirs, theirs)
	}
}

// start boots a machine from a throw-away copy of an image.
func start(t *testing.T, dir, image string) *machine.Machine {
	t.Helper()
	disk, err := machine.NewDisk(dir, "etcd", image, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := machine.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.Start(dir, key, machine.Config{Name: "etcd", Disk: disk, CPUs: 2, MemoryMB: 2048})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// debianEtcd returns the path of Debian's etcd, fetched if it is not there.
func debianEtcd(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "debian-etcd", "usr/bin/etcd")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sh", "-c", "apt-get download etcd-server && dpkg -x etcd-server_*.deb debian-etcd && rm etcd-server_*.deb")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("Debian's etcd: %v: %s", err, out)
	}
	return path
}
