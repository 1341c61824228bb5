package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"coreos/internal/fleet/api/apitest"
	"coreos/internal/fleet/cli"
	"coreos/internal/fleet/schema"
	"coreos/internal/host/hostid"
)

// expect runs commands on one cluster: each depends on those before it.
type expect struct {
	line   string
	status int
	// stdout is the whole output, stderr a part of the error output.
	stdout, stderr string
}

func check(t *testing.T, story []expect) {
	t.Helper()
	for _, e := range story {
		got := ours(t, strings.Fields(e.line)...)
		if got.status != e.status || got.stdout != e.stdout || !strings.Contains(got.stderr, e.stderr) || e.stderr == "" && got.stderr != "" {
			t.Errorf("fleetctl %s\n got: status %d, stdout %q, stderr %q\nwant: status %d, stdout %q, stderr %q", e.line, got.status, got.stdout, got.stderr, e.status, e.stdout, e.stderr)
		}
	}
}

func TestBeyondUpstream(t *testing.T) {
	directory(t)
	cluster := newCluster()
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	check(t, []expect{
		{"list-machines -l --fields=machine", 0, "MACHINE\n" + m1 + "\n" + m2 + "\n" + m3 + "\n", ""},
		{"start web@1.service web@2.service", 0, "Unit web@1.service inactive\nUnit web@2.service inactive\n" +
			"Unit web@1.service launched on 11111111.../10.0.0.1\nUnit web@2.service launched on 11111111.../10.0.0.1\n", ""},
		{"list-units -l --no-legend --fields=unit,machine", 0, "web@1.service\t" + m1 + "/10.0.0.1\nweb@2.service\t" + m1 + "/10.0.0.1\n", ""},
		{"list-unit-files -l --no-legend --fields=target", 0, m1 + "/10.0.0.1\n" + m1 + "/10.0.0.1\n", ""},
		{"restart web@1.service", 0, "Unit web@1.service launched on 11111111.../10.0.0.1\n", ""},
		{"restart none.service", 1, "", "Units not found in registry"},
		{"stop web@*", 0, "Unit web@1.service loaded on 11111111.../10.0.0.1\nUnit web@2.service loaded on 11111111.../10.0.0.1\n", "Successfully stopped units [web@1.service web@2.service]."},
		{"restart web@1", 0, "Unit web@1.service launched on 11111111.../10.0.0.1\n", ""},
		{"start web@2", 0, "Unit web@2.service launched on 11111111.../10.0.0.1\n", ""},
		{"start --replace app/only@1.service", 0, "Unit only@1.service inactive\nUnit only@1.service launched on 11111111.../10.0.0.1\n", ""},
		{"start --replace only@1.service", 0, "Unit only@1.service inactive\nUnit only@1.service launched on 11111111.../10.0.0.1\n", ""},
		{"cat only@1", 0, "[Service]\nExecStart=/bin/sleep %i\n", ""},
		{"submit only@.service", 0, "Unit only@.service inactive\n", ""},
		{"submit app/only@5.service", 0, "Unit only@5.service inactive\n", "WARNING: Unit only@.service in registry differs from local unit file app/only@.service."},
		{"cat only@5", 0, "[Service]\nExecStart=/bin/sleep %i\n", ""},
		{"submit --replace app/only@5.service", 0, "Unit only@5.service inactive\n", ""},
		{"cat only@5", 0, "[Service]\nExecStart=/bin/sleep 10%i\n", ""},
		{"destroy only@5 only@", 0, "Destroyed only@5.service\nDestroyed only@.service\n", ""},
		{"why web@1.service", 0, "web@1.service: on machine " + m1 + "\n", ""},
		{"why none", 1, "", "Unit none.service: unit does not exist"},
		{"why", 2, "", "One unit must be named"},
		{"drain 1111 --reason disk", 0, "Drained 11111111.../10.0.0.1\n", ""},
		{"list-machines --fields=drain,ip,version --no-legend", 0, "disk\t10.0.0.1\t1.0.0\n-\t10.0.0.2\t-\n-\t-\t\t-\n", ""},
		{"list-units --no-legend --fields=machine", 0, strings.Repeat("22222222.../10.0.0.2\n", 3), ""},
		{"undrain --until-restart 1111", 0, "", ""},
		{"list-machines --fields=drain --no-legend", 0, "disk\n-\n-\n", ""},
		{"drain 2222 --until-restart", 0, "Drained 22222222.../10.0.0.2\n", ""},
		{"undrain --until-restart 2222", 0, "22222222.../10.0.0.2 can have units again\n", ""},
		{"undrain 1111", 0, "11111111.../10.0.0.1 can have units again\n", ""},
		{"drain 4", 1, "", "Machine 4 does not exist"},
		{"drain", 2, "", "accepts 1 arg(s)"},
		{"rebalance", 0, "Moved 0 units\n", ""},
		{"destroy [a-w]*@?.service", 0, "Destroyed only@1.service\nDestroyed web@1.service\nDestroyed web@2.service\n", ""},
		{"destroy [", 2, "", "syntax error in pattern"},
		{"start --sign web.service", 2, "", "not signed"},
		{"nonsense", 2, "", "unknown command"},
		{"help typo", 2, "", `unknown command "typo"`},
		{"list-units --nonsense", 2, "", "Unknown flag"},
		{"--driver=etcd list-units", 1, "", "fleetctl does not read etcd itself"},
		{"--endpoint=unix:///none list-units", 1, "", "No answer from fleetd at unix:///none"},
		{"--ca-file=web.service --endpoint=https://127.0.0.1:1 list-units", 1, "", "no certificates in web.service"},
		{"--cert-file=web.service list-units", 1, "", "must be used together"},
		{"--request-timeout=x list-units", 2, "", "--request-timeout"},
		{"list-machines --version", 0, "fleetctl version 1.0.0\n", ""},
		{"list-units --output=xml", 1, "", "not table or json"},
		{"list-units --output=json", 0, "[]\n", ""},
	})
	if by := cluster.By(); len(by) == 0 || by[0] != "operator" {
		t.Errorf("changed by %q", by)
	}
	var machines []schema.Machine
	if err := json.Unmarshal([]byte(ours(t, "list-machines", "--output=json").stdout), &machines); err != nil || len(machines) != 3 || machines[0].CPUs != 4 {
		t.Errorf("machines as JSON: %+v, %v", machines, err)
	}
	t.Setenv("FLEETCTL_REQUEST_TIMEOUT", "long")
	check(t, []expect{{"list-units", 2, "", "FLEETCTL_REQUEST_TIMEOUT"}})
}

// TestDrainLeavesBoundUnits drains a machine with units that cannot run elsewhere.
func TestDrainLeavesBoundUnits(t *testing.T) {
	directory(t)
	for name, requirement := range map[string]string{"bound.service": "MachineID=" + m1, "all.service": "Global=true", "free.service": ""} {
		if err := os.WriteFile(name, []byte("[Service]\nExecStart=/bin/true\n[X-Fleet]\n"+requirement+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, newCluster()))
	ours(t, "start", "bound.service", "all.service", "free.service")
	check(t, []expect{
		{"list-units --no-legend --fields=unit,machine", 0, "all.service\t11111111.../10.0.0.1\nall.service\t22222222.../10.0.0.2\nall.service\t3333...\nbound.service\t11111111.../10.0.0.1\nfree.service\t11111111.../10.0.0.1\n", ""},
		{"drain --block-attempts=20 1111", 0, "Drained 11111111.../10.0.0.1\n", ""},
		{"list-units --no-legend --fields=unit,machine", 0, "all.service\t11111111.../10.0.0.1\nall.service\t22222222.../10.0.0.2\nall.service\t3333...\nbound.service\t11111111.../10.0.0.1\nfree.service\t22222222.../10.0.0.2\n", ""},
	})
}

// TestStartThatFails starts units that do not become active.
func TestStartThatFails(t *testing.T) {
	cli.SetPatience(t, 300*time.Millisecond)
	directory(t)
	states := map[string][2]string{
		"failed.service": {"failed", "failed"}, "ended.service": {"inactive", "dead"}, "once.service": {"inactive", "dead"}, "slow.service": {"activating", "start"},
	}
	for name := range states {
		text := unitFiles["web.service"]
		if name == "once.service" {
			text += "Type=oneshot\n"
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	nowhere := "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineMetadata=region=mars\n"
	if err := os.WriteFile("nowhere.service", []byte(nowhere), 0o644); err != nil {
		t.Fatal(err)
	}
	cluster := newCluster()
	cluster.Systemd = func(u schema.Unit) (string, string) { return states[u.Name][0], states[u.Name][1] }
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	launched := func(name string) string {
		return "Unit " + name + " inactive\nUnit " + name + " launched on 11111111.../10.0.0.1\n"
	}
	for _, e := range []expect{
		{"start failed.service", 1, launched("failed.service"), "Unit failed.service failed on 11111111.../10.0.0.1: failed (failed)"},
		{"start ended.service", 1, launched("ended.service"), "Unit ended.service does not run on 11111111.../10.0.0.1: inactive (dead)"},
		{"start once.service", 0, launched("once.service"), ""},
		{"start --block-attempts=1 slow.service", 1, launched("slow.service"), "Waiting for slow.service: on 11111111.../10.0.0.1: activating (start)\nTimed out waiting for unit slow.service to report active state"},
		{"start --block-attempts=1 nowhere.service", 1, "Unit nowhere.service inactive\n", "Waiting for nowhere.service: no machine fits\nTimed out waiting for unit nowhere.service to report state launched"},
	} {
		t.Run(e.line, func(t *testing.T) { check(t, []expect{e}) })
	}
	// A unit that was started before is no success, either.
	for _, e := range []expect{
		{"start failed.service", 1, "", "Unit failed.service failed on 11111111.../10.0.0.1: failed (failed)"},
		{"start --no-block failed.service", 0, "", ""},
		{"start once.service", 0, "", ""},
		{"start --block-attempts=1 slow.service", 1, "", "Timed out waiting for unit slow.service to report active state"},
		{"start --block-attempts=1 nowhere.service", 1, "", "Timed out waiting for unit nowhere.service to report state launched"},
		{"load failed.service", 0, "Unit failed.service loaded on 11111111.../10.0.0.1\n", ""},
	} {
		t.Run(e.line+" again", func(t *testing.T) { check(t, []expect{e}) })
	}
	check(t, []expect{
		{"why nowhere", 0, "nowhere.service: no machine fits\n\nMACHINE\t\t\tWHY NOT\n11111111.../10.0.0.1\tmetadata do not match [region:[mars]]\n" +
			"22222222.../10.0.0.2\tmetadata do not match [region:[mars]]\n3333...\t\t\tmetadata do not match [region:[mars]]\n", ""},
		{"stop nowhere", 1, "", "Unable to stop unit nowhere.service in state inactive"},
		{"unload nowhere", 0, "Unit nowhere.service inactive\n", "Successfully unloaded"},
	})
}

// TestStartThatIsRefused starts a unit that systemd refuses.
func TestStartThatIsRefused(t *testing.T) {
	cli.SetPatience(t, 300*time.Millisecond)
	directory(t)
	cluster := newCluster()
	cluster.Problem = func(u schema.Unit) string { return "systemd refuses it: bad unit file setting" }
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	const refused = "Unit web.service does not run on 11111111.../10.0.0.1: systemd refuses it: bad unit file setting"
	check(t, []expect{
		{"start web.service", 1, "Unit web.service inactive\n", refused},
		{"start web.service", 1, "", refused},
		{"list-units --no-legend --fields=unit,active,sub,problem", 0, "web.service\tfailed\trefused\tsystemd refuses it: bad unit file setting\n", ""},
		{"unload web.service", 0, "Unit web.service inactive\n", "Successfully unloaded"},
	})
}

// TestLargeFile submits a file that is larger than any unit file. It is refused, not cut.
func TestLargeFile(t *testing.T) {
	directory(t)
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, newCluster()))
	text := "[Service]\nExecStart=/bin/true\n" + strings.Repeat("# a comment\n", 1<<17)
	if err := os.WriteFile("large.service", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, []expect{{"submit large.service", 1, "", "large.service: too large: more than 1024 KiB"}})
}

// TestHelp checks that the help has the version.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {}} {
		if got := ours(t, args...); got.status != 0 || !strings.Contains(got.stdout, "Version 1.0.0.") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if got := ours(t, "help", "list-m"); got.status != 0 || !strings.Contains(got.stdout, "--fields") {
		t.Errorf("%+v", got)
	}
}

// TestStatusOfAll asks for several units, of which some have failed and some do not exist.
func TestStatusOfAll(t *testing.T) {
	directory(t)
	id, err := hostid.Machine()
	if err != nil {
		t.Skip("this machine has no ID")
	}
	cluster := new(apitest.Cluster)
	cluster.Join(schema.Machine{ID: id, PrimaryIP: "10.0.0.1"})
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	ours(t, "start", "web.service", "all.service")
	status := func(name string) string { return "systemctl: <status><-l><" + name + ".service>\n" }
	check(t, []expect{
		{"status web all", 3, status("web") + "\n" + status("all"), ""},
		{"status web none all", 1, status("web") + "\n\n" + status("all"), "Unit none.service"},
	})
}

// slowCluster shows a destroyed unit for some time, and then the machine that is stopping it.
type slowCluster struct {
	*apitest.Cluster
	asked int
}

func (c *slowCluster) Why(_ context.Context, name string) (schema.Reasons, error) {
	if c.asked > 5 {
		return schema.Reasons{}, schema.ErrNotFound
	}
	return schema.Reasons{Name: name, Summary: "it is destroyed, and waits until m has stopped it"}, nil
}

func (c *slowCluster) Destroy(context.Context, string, string) error { return nil }

func (c *slowCluster) Unit(ctx context.Context, name string) (schema.Unit, error) {
	if c.asked++; c.asked > 3 {
		return schema.Unit{}, schema.ErrNotFound
	}
	return c.Cluster.Unit(ctx, name)
}

func TestDestroyWaits(t *testing.T) {
	for arg, want := range map[string]int{"--no-block": 0, "--no-block=false": 6} {
		c := &slowCluster{Cluster: newCluster()}
		u := schema.Unit{Name: "web.service", Options: []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/true"}}}
		if err := c.Create(t.Context(), "test", u); err != nil {
			t.Fatal(err)
		}
		t.Setenv("FLEETCTL_ENDPOINT", serve(t, c))
		check(t, []expect{{"destroy web " + arg, 0, "Destroyed web.service\n", ""}})
		if c.asked != want {
			t.Errorf("%s: asked %d times whether the unit is gone, want %d", arg, c.asked, want)
		}
	}
}

func TestRunOnce(t *testing.T) {
	directory(t)
	cluster := newCluster()
	cluster.Finish = true
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	if err := os.WriteFile("job.service", []byte("[Service]\nExecStart=/bin/true\n[X-Fleet]\nRunOnce=true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check(t, []expect{
		{"start job", 0, "Unit job.service inactive\nUnit job.service finished: success\n", ""},
		{"start job", 0, "Unit job.service finished: success\n", ""},
	})
	if n := cluster.Ran(); n != 2 {
		t.Errorf("it ran %d times", n)
	}
}

func TestInterrupted(t *testing.T) {
	directory(t)
	cluster := newCluster()
	cluster.Systemd = func(schema.Unit) (string, string) { return "activating", "start" }
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if status := cli.Run(ctx, []string{"start", "web.service"}, cli.Streams{In: strings.NewReader(""), Out: t.Output(), Err: t.Output()}); status != 130 {
		t.Errorf("status %d", status)
	}
}

func TestCompletion(t *testing.T) {
	directory(t)
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, newCluster()))
	check(t, []expect{{"submit web.service db.service", 0, "Unit web.service inactive\nUnit db.service inactive\n", ""}})
	if got := ours(t, "__complete", "stop", "w"); !strings.HasPrefix(got.stdout, "web.service\n") || strings.Contains(got.stdout, "db.service") {
		t.Errorf("%+v", got)
	}
	if got := ours(t, "completion", "bash"); !strings.Contains(got.stdout, "fleetctl") {
		t.Errorf("%+v", got)
	}
}

func TestManyUnits(t *testing.T) {
	directory(t)
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, newCluster()))
	var args []string
	for i := range 120 {
		args = append(args, fmt.Sprintf("only@%03d.service", i))
	}
	if got := ours(t, append([]string{"start"}, args...)...); got.status != 0 || strings.Count(got.stdout, "launched") != len(args) {
		t.Errorf("%+v", got)
	}
	if got := ours(t, "destroy", "only@*"); got.status != 0 || strings.Count(got.stdout, "Destroyed") != len(args) {
		t.Errorf("%+v", got)
	}
}
