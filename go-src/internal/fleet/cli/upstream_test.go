package cli_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh/knownhosts"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/api/apitest"
	"coreos/internal/fleet/cli"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/sshclient/sshtest"
	"coreos/internal/host/treetest"
)

const (
	m1, m2 = "1111111111111111aaaaaaaaaaaaaaaa", "2222222222222222bbbbbbbbbbbbbbbb"
	// m3 is too short to be shortened.
	m3 = "3333"
)

// newCluster returns a cluster of three machines. The third one has only an ID.
func newCluster() *apitest.Cluster {
	c := new(apitest.Cluster)
	c.Join(schema.Machine{ID: m1, PrimaryIP: "10.0.0.1", Metadata: map[string]string{"region": "eu", "disk": "ssd"}, Version: "1.0.0", CPUs: 4})
	c.Join(schema.Machine{ID: m2, PrimaryIP: "10.0.0.2", Metadata: map[string]string{"region": "us"}})
	c.Join(schema.Machine{ID: m3})
	return c
}

// serve serves a cluster, and makes its socket the endpoint of fleetctl.
func serve(t *testing.T, cluster api.Cluster) (endpoint string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "fleet.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler(cluster, api.Config{
		Log: slog.New(slog.DiscardHandler), By: func(*http.Request) string { return "operator" }})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "unix://" + socket
}

// output is the output and the exit status of a command.
type output struct {
	stdout, stderr string
	status         int
}

func ours(t *testing.T, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	status := cli.Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return output{stdout.String(), stderr.String(), status}
}

func theirs(t *testing.T, binary string, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, binary, args...)
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// upstream builds upstream's fleetctl.
func upstream(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("upstream's fleetctl is not built in short tests")
	}
	binary := filepath.Join(t.TempDir(), "fleetctl")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "-ldflags=-X github.com/coreos/fleet/version.Version="+schema.Version, "github.com/coreos/fleet/fleetctl")
	build.Dir = "../../../test/upstreamfleet"
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("upstream's fleetctl cannot be built: %v\n%s", err, text)
	}
	return binary
}

// unitFiles are the files in an operator's directory.
var unitFiles = map[string]string{
	"web.service":               "[Unit]\nDescription=A web server\n\n[Service]\nExecStart=/bin/sleep 3000\n",
	"web@.service":              "# a template\n[Service]\nExecStart=/bin/sleep %i\n\n[X-Fleet]\nConflicts=web@*.service\n",
	"db.service":                "[Service]\nExecStart=/bin/sleep 1\nExecStart=/bin/sleep \\\n  2\n[X-Fleet]\nMachineMetadata=region=us\n",
	"all.service":               "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n",
	"alarm.timer":               "[Timer]\nOnCalendar=daily\n",
	"only@.service":             "[Service]\nExecStart=/bin/sleep %i\n",
	"long.service":              "[Service]\nEnvironment=" + strings.Repeat("x", 3000) + "\n",
	"nonsense.service":          "[Service\n",
	"impossible.service":        "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineID=a\nConflicts=b\n",
	"app/web.service":           "[Service]\nExecStart=/bin/sleep 4000\n",
	"app/only@.service":         "[Service]\nExecStart=/bin/sleep 10%i\n",
	"app/escaped-\\x2d.service": "[Service]\nExecStart=/bin/true\n",
}

// directory changes to a directory with the unit files. It puts a systemctl and a journalctl into
// PATH that print their arguments.
func directory(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	treetest.Write(t, ".", unitFiles)
	for _, name := range []string{"systemctl", "journalctl", "sudo"} {
		script := "#!/bin/sh\nprintf '%s: ' " + name + "; printf '<%s>' \"$@\"; echo; [ $1 != status ] || exit 3\n"
		if err := os.WriteFile(name, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
}

// story has commands that run one after the other on one cluster. Ours must print the same to stdout
// as upstream's, and end with the same status.
var story = []string{
	"version", "--version",
	"list-machines", "list-machines --full", "list-machines --no-legend", "list-machines --fields=ip,machine,metadata", "list-machines --fields=none", "list-machines --fields=",
	"list-units", "list-unit-files", "list-m",
	"submit", "start", "stop", "load", "unload", "destroy", "status", "restart",
	"cat web.service", "cat", "cat web.service db.service", "status web.service", "journal web.service", "journal", "ssh none", "ssh",
	"stop none.service", "unload none", "destroy none.service", "start none.service", "load none@1.service", "submit none",
	"submit long.service", "submit nonsense.service", "submit impossible.service", "submit web.target",

	"submit web.service web@.service alarm.timer", "submit web", "submit --replace web.service", "cat web", "cat web@.service",
	"list-unit-files", "list-unit-files --full", "list-unit-files --no-legend --fields=unit,desc,global,tmachine,state,dstate,hash,target", "list-unit-files --fields=x",
	"start web@.service",
	"load db.service", "load db.service", "start db", "start db.service", "cat db.service", "load alarm.timer",
	"start web@1.service web@2.service", "start only@1.service", "load --no-block only@2.service",
	"start --no-block only@2.service", "start --no-block only@3.service db.service",
	"list-units", "list-units --full", "list-units --no-legend", "list-units --fields=unit,load,active,sub,machine,hash", "list-units --fields=hash --full",
	"submit all.service", "start all.service", "list-units --fields=unit,machine", "list-unit-files", "stop all.service", "load all.service", "unload all.service",
	"stop web@1.service", "stop web@1.service", "start web@1.service", "stop --no-block web@1.service", "load web.service", "start --block-attempts=5 web.service",
	"start app/web.service", "submit app/web.service", "submit --replace app/web.service", "load --replace app/web.service", "start --replace app/web.service", "cat web.service",
	"start app/web.service --replace",
	"start app/escaped-\\x2d.service", "cat escaped-\\x2d", "stop escaped-\\x2d", "destroy escaped-\\x2d.service",
	"unload web@2.service alarm.timer", "unload --no-block web@1.service", "unload web@1.service", "list-unit-files",
	"stop web@1.service", "journal web@1.service", "status web@1.service", "journal all.service",
	"destroy web@1.service web@2.service none.service", "destroy --no-block all.service", "destroy web.service db alarm.timer", "destroy web@.service",
	"list-unit-files", "list-units",
	"--driver=none list-units", "--endpoint=unix://x/y list-units", "--endpoint=x list-units", "verify web.service",
}

// comparable removes from an output what differs between two runs of upstream's fleetctl. It prints
// the units for which it waits in any order and sometimes without their machines, and other units
// twice.
func comparable(stdout string) string {
	if !strings.HasPrefix(stdout, "Unit ") && !strings.HasPrefix(stdout, "Triggered ") {
		return stdout
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	for i, line := range lines {
		if len(lines) > 1 {
			lines[i], _, _ = strings.Cut(line, " on ")
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	return strings.Join(lines, "\n")
}

func TestSameAsUpstream(t *testing.T) {
	binary := upstream(t)
	t.Run("story", func(t *testing.T) {
		directory(t)
		compare(t, binary, serve(t, newCluster()), serve(t, newCluster()), story)
	})
	t.Run("here", func(t *testing.T) { compareHere(t, binary) })
	t.Run("tunnel", func(t *testing.T) {
		directory(t)
		machine := sshtest.New(t)
		file := filepath.Join(t.TempDir(), "known_hosts")
		text := knownhosts.Line([]string{machine.Address}, machine.Key) + "\n" + knownhosts.Line([]string{machine.Address}, machine.Other) + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("FLEETCTL_TUNNEL", machine.Address)
		t.Setenv("FLEETCTL_KNOWN_HOSTS_FILE", file)
		compare(t, binary, serve(t, newCluster()), serve(t, newCluster()), []string{"list-machines", "start web.service", "list-units", "destroy web.service"})
	})
}

// compareHere runs the commands with all units on the machine on which fleetctl runs.
func compareHere(t *testing.T, binary string) {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		t.Skip("this machine has no ID: ", err)
	}
	directory(t)
	var us, them apitest.Cluster
	for _, c := range []*apitest.Cluster{&us, &them} {
		c.Join(schema.Machine{ID: strings.TrimSpace(string(id)), PrimaryIP: "192.0.2.1"})
	}
	compare(t, binary, serve(t, &us), serve(t, &them), []string{
		"start web.service web@1.service", "status web.service", "status web@2.service",
		"journal web.service", "journal --lines 100 --output=json --sudo web@1.service", "journal --follow web",
		"unload web.service", "journal web.service", "status web.service",
	})
}

func compare(t *testing.T, binary, us, them string, lines []string) {
	t.Helper()
	for _, line := range lines {
		args := strings.Fields(line)
		t.Setenv("FLEETCTL_ENDPOINT", them)
		want := theirs(t, binary, args...)
		t.Setenv("FLEETCTL_ENDPOINT", us)
		got := ours(t, args...)
		t.Logf("fleetctl %s: status %d\n%s", line, want.status, want.stdout)
		if comparable(got.stdout) != comparable(want.stdout) || got.status != want.status {
			t.Errorf("fleetctl %s\nours:   %q, status %d, stderr %s\ntheirs: %q, status %d, stderr %s", line, got.stdout, got.status, got.stderr, want.stdout, want.status, want.stderr)
		}
	}
}
