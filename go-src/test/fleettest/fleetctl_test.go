package fleettest

import (
	"bytes"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleet/api"
	"coreos/internal/fleet/cli"
	"coreos/internal/fleet/registry"
	"coreos/internal/fleet/store"
	"coreos/internal/host/treetest"
	"coreos/test/etcdtest"
)

// TestFleetctl drives a cluster of two machines on a real etcd with our fleetctl, and then with
// upstream's.
func TestFleetctl(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "fleetctl")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/coreos/fleet/fleetctl")
	build.Dir = "../upstreamfleet"
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("upstream's fleetctl cannot be built: %v\n%s", err, text)
	}
	records := store.New(etcdtest.New(t, 1, etcdtest.NoFsync()).Client(t), store.DefaultPrefix)
	for _, id := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"} {
		node(t, records, id, NewSystemd(), 5*time.Second)
	}
	fleet := registry.New(records)
	t.Cleanup(fleet.Close)
	until(t, "two machines", func() bool { all, err := fleet.Machines(t.Context()); return err == nil && len(all) == 2 })
	t.Chdir(t.TempDir())
	treetest.Write(t, ".", map[string]string{
		"web@.service": "[Service]\nExecStart=/bin/sleep %i\n[X-Fleet]\nConflicts=web@*.service\n",
		"all.service":  "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n",
		"mars.service": "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineMetadata=region=mars\n",
	})
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler(fleet, api.Config{})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	t.Setenv("FLEETCTL_ENDPOINT", "unix://"+l.Addr().String())

	t.Run("ours", func(t *testing.T) {
		drive(t, func(args []string, out *bytes.Buffer) int {
			return cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: out, Err: t.Output()})
		})
	})
	t.Run("upstream", func(t *testing.T) {
		drive(t, func(args []string, out *bytes.Buffer) int {
			command := exec.CommandContext(t.Context(), binary, args...)
			command.Stdout, command.Stderr = out, t.Output()
			_ = command.Run()
			return command.ProcessState.ExitCode()
		})
	})
}

// drive runs commands. Each has to succeed and to print the texts that follow it.
func drive(t *testing.T, run func(args []string, out *bytes.Buffer) int) {
	for _, step := range [][]string{
		{"list-machines", "aaaaaaaa...", "bbbbbbbb..."},
		{"submit web@.service", "Unit web@.service inactive"},
		{"start web@1.service web@2.service", "Unit web@1.service launched", "Unit web@2.service launched"},
		{"list-units --fields=unit,active", "web@1.service\tactive\n", "web@2.service\tactive\n"},
		{"stop web@1.service", "Unit web@1.service loaded on "},
		{"start web@1.service", "Unit web@1.service launched on "},
		{"unload web@2.service", "Unit web@2.service inactive\n"},
		{"load web@2.service", "Unit web@2.service loaded on "},
		{"start all.service", "Triggered global unit all.service start"},
		{"submit mars.service", "Unit mars.service inactive"},
		{"list-unit-files --fields=unit,dstate,target", "all.service\tlaunched\tglobal", "mars.service\tinactive\t-", "web@2.service\tloaded\t\t"},
		{"cat web@2.service", "ExecStart=/bin/sleep %i"},
		{"destroy web@1.service web@2.service web@.service all.service mars.service", "Destroyed web@.service"},
		{"list-unit-files --no-legend"},
		{"list-units --no-legend"},
	} {
		var out bytes.Buffer
		start := time.Now()
		status := run(strings.Fields(step[0]), &out)
		t.Logf("fleetctl %s: %v\n%s", step[0], time.Since(start).Round(time.Millisecond), &out)
		for _, want := range step[1:] {
			if !strings.Contains(out.String(), want) {
				t.Errorf("fleetctl %s does not print %q", step[0], want)
			}
		}
		if status != 0 || len(step) == 1 && out.Len() > 0 {
			t.Errorf("fleetctl %s: status %d, %q", step[0], status, &out)
		}
	}
}
