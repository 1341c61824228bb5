package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program/programtest"
	"coreos/internal/update/status"
)

// daemon is update-engine for the tests.
type daemon struct {
	calls  []string
	err    error           // of Call
	states []status.Status // that Watch sees; Status returns the last one
}

func (d *daemon) Call(_ context.Context, method string, args ...any) error {
	d.calls = append(d.calls, method)
	for _, arg := range args {
		d.calls = append(d.calls, arg.(string))
	}
	return d.err
}

func (d *daemon) ApplyBundle(ctx context.Context, path string) error {
	return d.Call(ctx, "ApplyBundle", path)
}

func (d *daemon) Status(context.Context) (status.Status, error) {
	if len(d.states) == 0 {
		return status.Status{}, errors.New("no daemon")
	}
	return d.states[len(d.states)-1], nil
}

// Watch tells of all states, and then waits as the bus does.
func (d *daemon) Watch(ctx context.Context, take func(status.Status) (bool, error)) error {
	for _, s := range d.states {
		if enough, err := take(s); enough || err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

var (
	idle     = status.Status{Version: "1.0.0", Proven: true, Operation: status.Idle, LastChecked: time.Unix(1700000000, 0)}
	fetching = status.Status{Version: "1.0.0", Operation: status.Downloading, NewVersion: "2.0.0", Fetched: 5, Total: 10, Left: 3 * time.Second}
	waiting  = status.Status{Version: "1.0.0", Operation: status.NeedReboot, NewVersion: "2.0.0", Fetched: 10, Total: 10}
)

func TestAct(t *testing.T) {
	for name, test := range map[string]struct {
		flags  flags
		daemon daemon
		calls  string
		out    string
		status int
		err    string
	}{
		"status": {flags: flags{status: true}, daemon: daemon{states: []status.Status{idle}},
			out: "LAST_CHECKED_TIME=1700000000\nPROGRESS=0.000000\nCURRENT_OP=UPDATE_STATUS_IDLE\nNEW_VERSION=\nNEW_SIZE=0\n"},
		"status while it downloads": {daemon: daemon{states: []status.Status{fetching}},
			out: "LAST_CHECKED_TIME=0\nPROGRESS=0.500000\nCURRENT_OP=UPDATE_STATUS_DOWNLOADING\nNEW_VERSION=2.0.0\nNEW_SIZE=10\nFETCHED=5\nTIME_LEFT=3\n"},
		"release notes": {daemon: daemon{states: []status.Status{{Operation: status.NeedReboot, NewVersion: "2.0.0", NewNotes: "# 2.0.0\n\n- faster\n"}}},
			out: "LAST_CHECKED_TIME=0\nPROGRESS=0.000000\nCURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT\nNEW_VERSION=2.0.0\nNEW_SIZE=0\n" +
				"RELEASE_NOTES=# 2.0.0\nRELEASE_NOTES=\nRELEASE_NOTES=- faster\n"},
		"what failed": {daemon: daemon{states: []status.Status{{Operation: status.Idle, LastError: "no network", Refused: map[string]string{"3.0.0": "unhealthy", "2.0.0": "panic"}}}},
			out: "LAST_CHECKED_TIME=0\nPROGRESS=0.000000\nCURRENT_OP=UPDATE_STATUS_IDLE\nNEW_VERSION=\nNEW_SIZE=0\nLAST_ERROR=no network\n" +
				"REFUSED_VERSION=2.0.0 panic\nREFUSED_VERSION=3.0.0 unhealthy\n"},
		"no daemon":             {flags: flags{status: true}, status: 1, err: "no daemon"},
		"check":                 {flags: flags{check: true}, calls: "CheckForUpdate"},
		"reset":                 {flags: flags{reset: true}, calls: "ResetStatus"},
		"reset, refused":        {flags: flags{reset: true}, daemon: daemon{err: status.ErrBusy}, calls: "ResetStatus", status: 1, err: "an update is being installed"},
		"needs a reboot":        {flags: flags{needsReboot: true}, daemon: daemon{states: []status.Status{waiting}}},
		"needs no reboot":       {flags: flags{needsReboot: true}, daemon: daemon{states: []status.Status{idle}}, status: 2},
		"needs a reboot, maybe": {flags: flags{needsReboot: true}, status: 1, err: "no daemon"},
		"update": {flags: flags{update: true}, daemon: daemon{states: []status.Status{idle, fetching, waiting}}, calls: "Update",
			out: "version 2.0.0 is installed; restart the machine to run it\n"},
		"update, none":    {flags: flags{update: true}, daemon: daemon{states: []status.Status{idle}}, calls: "Update", out: "there is no update\n"},
		"update, refused": {flags: flags{update: true}, daemon: daemon{states: []status.Status{idle}, err: status.ErrBusy}, calls: "Update", status: 1, err: "is being installed"},
		"apply": {flags: flags{apply: "/tmp/x.bundle"}, daemon: daemon{states: []status.Status{waiting}}, calls: "ApplyBundle /tmp/x.bundle",
			out: "version 2.0.0 is installed; restart the machine to run it\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, progress strings.Builder
			err := act(t.Context(), &test.daemon, test.flags, &out, &progress)
			got, print := exit.Of(err)
			if got != test.status || print != (test.err != "") || print && !strings.Contains(err.Error(), test.err) {
				t.Errorf("status %d, error %v", got, err)
			}
			if out.String() != test.out || strings.Join(test.daemon.calls, " ") != test.calls {
				t.Errorf("out %q, calls %q", out.String(), test.daemon.calls)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var out, progress strings.Builder
	if err := act(t.Context(), &daemon{states: []status.Status{idle, fetching, fetching, waiting}}, flags{update: true}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	want := "UPDATE_STATUS_IDLE , 0 of 0 bytes\nUPDATE_STATUS_DOWNLOADING 2.0.0, 5 of 10 bytes\nUPDATE_STATUS_UPDATED_NEED_REBOOT 2.0.0, 10 of 10 bytes\n"
	if progress.String() != want {
		t.Errorf("got %q", progress.String())
	}
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &daemon{states: []status.Status{idle, waiting}}
	var out strings.Builder
	cancel()
	if err := act(ctx, d, flags{watch: true}, &out, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := strings.Count(out.String(), "CURRENT_OP="); got != 2 || !strings.HasSuffix(out.String(), "\n\n") {
		t.Errorf("%d states:\n%s", got, out.String())
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	if err := act(t.Context(), &daemon{states: []status.Status{fetching}}, flags{asJSON: true}, &out, nil); err != nil {
		t.Fatal(err)
	}
	var got status.Status
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.NewVersion != "2.0.0" || got.Fetched != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCommandLine(t *testing.T) {
	// 2 is an answer of -needs_reboot, so that errors end with 1.
	programtest.Check(t, command, []programtest.Call{
		{"--help", 0, "-needs_reboot: 0 if an update waits", ""},
		{"-nonsense", 1, "", "update_engine_client: unknown flag: --nonsense"},
		{"-status -update", 1, "", "none of the others can be"},
		{"status", 1, "", `unexpected argument "status"`},
		{"-apply", 1, "", "flag needs an argument"},
	})
}
