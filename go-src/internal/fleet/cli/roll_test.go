package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/unitfile"
)

// TestRoll replaces the file of a template's instances. Some of the files make one instance fail.
func TestRoll(t *testing.T) {
	directory(t)
	cluster := newCluster()
	// The second instance fails if its file has the word bad.
	cluster.Systemd = func(u schema.Unit) (string, string) {
		if u.Name == "app@2.service" && strings.Contains(unitfile.Of(u).String(), "bad") {
			return "failed", "failed"
		}
		return "active", "running"
	}
	t.Setenv("FLEETCTL_ENDPOINT", serve(t, cluster))
	write := func(text string) (hash string) {
		t.Helper()
		if err := os.WriteFile("app@.service", []byte("[Service]\nExecStart=/bin/"+text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		u := schema.Unit{Options: []schema.UnitOption{{Section: "Service", Name: "ExecStart", Value: "/bin/" + text}}}
		return unitfile.Of(u).Hash().Short()
	}
	on := func(name, hash string) string {
		return "Unit " + name + ".service is healthy on 11111111.../10.0.0.1 with " + hash + "\n"
	}
	files := func(text ...string) []expect {
		var all []expect
		for i, one := range text {
			all = append(all, expect{"cat app@" + string(rune('1'+i)), 0, "[Service]\nExecStart=/bin/" + one + "\n", ""})
		}
		return all
	}
	write("old")
	ours(t, "submit", "app@.service")
	ours(t, "start", "app@1", "app@2", "app@3")
	ours(t, "load", "app@4")

	good := write("good")
	check(t, []expect{{"roll --steady=100ms app@.service", 0,
		on("app@1", good) + on("app@2", good) + on("app@3", good) + "Unit app@4.service has the new file, and is loaded\nUnit app@.service has the new file, and is inactive\n", ""}})
	check(t, files("good", "good", "good", "good"))
	check(t, []expect{{"roll app@", 0, strings.ReplaceAll("Unit app@1.service#Unit app@2.service#Unit app@3.service#Unit app@4.service#Unit app@.service#", "#", " has the file already\n"), ""}})

	bad := write("bad")
	check(t, []expect{{"roll --steady=100ms --limit=500ms app@.service", 1, on("app@1", bad) + on("app@2", good),
		"Unit app@2.service gets its old file back: not within 500ms: on 11111111.../10.0.0.1 it is failed (failed)\n" +
			"App@2.service was not healthy with the new file: not within 500ms: on 11111111.../10.0.0.1 it is failed (failed); of 5 units 1 have the new file"}})
	check(t, files("bad", "good", "good", "good"))

	write("checked")
	script := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho $UNIT at $MACHINE_IP; [ $UNIT != app@1.service ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	check(t, []expect{{"roll --steady=0 --limit=2s --check=" + script + " app@.service", 1, on("app@1", bad), "the check failed: exit status 1: app@1.service at 10.0.0.1"}})
	check(t, append(files("bad", "good"),
		expect{"roll", 2, "", "accepts 1 arg(s)"},
		expect{"roll none.service", 1, "", "no such file"},
		expect{"roll web.service", 1, "", "The cluster has no unit of web.service"}))
}
