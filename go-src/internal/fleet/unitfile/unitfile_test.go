package unitfile

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	f, err := Parse("# a comment\n[Service]\n\nExecStart=/bin/sleep 3000\n")
	if err != nil {
		t.Fatal(err)
	}
	if h := f.Hash(); h.String() != "7dc08eb00f0c705e84a61e030d98e8cc3c994954" || h.Short() != "7dc08eb" {
		t.Errorf("hash %s, short %s", h, h.Short())
	}
	if h, err := ParseHash(f.Hash().String()); err != nil || h != f.Hash() {
		t.Errorf("%s, %v", h, err)
	}
	for _, text := range []string{"", "7dc08eb", strings.Repeat("x", 40), strings.Repeat("0", 42)} {
		if h, err := ParseHash(text); err == nil {
			t.Errorf("%q: %s", text, h)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, text := range []string{"[Service]\nEnvironment=" + strings.Repeat("x", 2048) + "\n", strings.Repeat("\n", maxFile+1)} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%d bytes, %d lines are taken", len(text), strings.Count(text, "\n"))
		}
	}
}

func TestParseName(t *testing.T) {
	for text, want := range map[string]Name{
		"app.service":      {Full: "app.service", Stem: "app", Prefix: "app"},
		"app@1.service":    {"app@1.service", "app@1", "app", "app@.service", "1"},
		"app@.service":     {"app@.service", "app@", "app", "app@.service", ""},
		"a.b@c@d.e.socket": {"a.b@c@d.e.socket", "a.b@c@d.e", "a.b", "a.b@.socket", "c@d.e"},
		`x-y_z:\x2d.mount`: {Full: `x-y_z:\x2d.mount`, Stem: `x-y_z:\x2d`, Prefix: `x-y_z:\x2d`},
	} {
		got, err := ParseName(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "app", "app.", ".service", "@.service", "@1.service", "app.target", "app/x.service", "../x.service", "app .service",
		"app@1.mount", "app\n.service", "äpp.service", strings.Repeat("a", 250) + ".service",
	} {
		if got, err := ParseName(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func requirements(t *testing.T, name, text string) (Requirements, error) {
	t.Helper()
	f, err := Parse("[X-Fleet]\n" + text)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	return f.Requirements(n)
}

func TestRequirements(t *testing.T) {
	var none map[string][]string
	for text, want := range map[string]Requirements{
		"":                                  {Metadata: none},
		"MachineID=abc\nMachineID=def":      {MachineID: "abc", Metadata: none},
		"X-ConditionMachineID=abc":          {MachineID: "abc", Metadata: none},
		"X-ConditionMachineBootID=abc":      {MachineID: "abc", Metadata: none},
		"MachineOf=%p@%i.socket":            {MachineOf: []string{"web@2.socket"}, Metadata: none},
		"X-ConditionMachineOf=a.service":    {MachineOf: []string{"a.service"}, Metadata: none},
		"Conflicts=%p@*.service db.service": {Conflicts: []string{"web@*.service", "db.service"}, Metadata: none},
		`Conflicts="a.service" "b.service"`: {Conflicts: []string{"a.service", "b.service"}, Metadata: none},
		"Replaces=web@1.service":            {Replaces: []string{"web@1.service"}, Metadata: none},
		"Global=false\nGlobal=YES":          {Global: true, Metadata: none},
		"Global=perhaps":                    {Metadata: none},
		"Prefers=disk=ssd\nCPUs=0.5\nMemory=512M\nMaxPerMachine=2\nRunOnce=yes": {
			Prefers: map[string][]string{"disk": {"ssd"}}, CPUs: 0.5, Memory: 512 << 20, MaxPerMachine: 2, RunOnce: true,
		},
		"MachineMetadata=region=eu":                                    {Metadata: map[string][]string{"region": {"eu"}}},
		`MachineMetadata="a=1" "a=2" "b=%n"`:                           {Metadata: map[string][]string{"a": {"1", "2"}, "b": {"web@2.service"}}},
		"MachineMetadata=a=b=c\nMachineMetadata==x\nMachineMetadata=y": {Metadata: none},
	} {
		got, err := requirements(t, "web@2.service", text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestRequirementsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"MachineId=abc":                     "MachineId",
		"MachineID=a\nMachineOf=b.service":  "MachineID cannot be used with MachineOf",
		"MachineID=a\nConflicts=b.service":  "MachineID cannot be used with Conflicts",
		"MachineID=a\nGlobal=true":          "MachineID cannot be used with Global",
		"MachineID=a\nReplaces=b.service":   "MachineID cannot be used with Replaces",
		"Global=1\nMachineOf=b.service":     "Global cannot be used with MachineOf",
		"Global=1\nReplaces=b.service":      "Global cannot be used with Replaces",
		"Conflicts=a\nReplaces=b":           "Conflicts cannot be used with Replaces",
		"MachineOf=db.service\nConflicts=*": `MachineOf="db.service" matches Conflicts="*"`,
		"MachineOf=d.service\nReplaces=d.*": `matches Replaces="d.*"`,
		"CPUs=-1":                           "CPUs=\"-1\"",
		"CPUs=NaN":                          "CPUs",
		"Memory=":                           "Memory",
		"Memory=9999999999T":                "Memory",
		"MaxPerMachine=0":                   "MaxPerMachine",
		"Conflicts=[":                       "Conflicts=\"[\"",
	} {
		if _, err := requirements(t, "web.service", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// TestCheck has metadata that Requirements ignores, as units of the cluster may have them, and that cannot
// be submitted.
func TestCheck(t *testing.T) {
	name, err := ParseName("web.service")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"": true, "MachineMetadata=region=eu": true, `MachineMetadata="a=1" "a=2" "b=x y"`: true, "Prefers=disk=ssd": true,
		"MachineMetadata=k=v=w": false, "MachineMetadata=a=b c=d": false, "MachineMetadata=k=": false, "MachineMetadata==v": false,
		"MachineMetadata=k": false, `MachineMetadata="a=b" "c"`: false, "X-ConditionMachineMetadata=k=": false, "Prefers=disk": false,
		"MachineMetadata=": false, "Nonsense=1": false,
	} {
		f, err := Parse("[X-Fleet]\n" + text)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Check(name); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFitsAndConflict(t *testing.T) {
	r := Requirements{Metadata: map[string][]string{"region": {"eu", "us"}, "disk": {"ssd"}}}
	for _, test := range []struct {
		machine map[string]string
		want    bool
	}{
		{map[string]string{"region": "us", "disk": "ssd", "x": "y"}, true},
		{map[string]string{"region": "us", "disk": "hdd"}, false},
		{map[string]string{"disk": "ssd"}, false},
		{nil, false},
	} {
		if r.Fits(test.machine) != test.want {
			t.Errorf("%v: want %v", test.machine, test.want)
		}
	}
	if !(Requirements{}).Fits(nil) {
		t.Error("no requirements fit everywhere")
	}
	web, db := Requirements{Conflicts: []string{"web@*.service"}}, Requirements{}
	if !Conflict("web@1.service", web, "web@2.service", web) || !Conflict("db.service", db, "x.service", Requirements{Conflicts: []string{"db.*"}}) {
		t.Error("conflicts count in both directions")
	}
	if Conflict("web@1.service", web, "web@1.service", web) || Conflict("web@1.service", web, "db.service", db) {
		t.Error("a conflict where there is none")
	}
}

func TestNeeds(t *testing.T) {
	file, err := Parse("[Unit]\nRequires=db@%i.service docker.service\nAfter=network.target \"db@%i.service\" %H.service\n" +
		"After=web@1.service web@2.service x@.service\nBindsTo=\nBindsTo=app.socket\n[Service]\nRequires=no.service\n")
	if err != nil {
		t.Fatal(err)
	}
	name, err := ParseName("web@1.service")
	if err != nil {
		t.Fatal(err)
	}
	needs := file.Needs(name)
	want := Needs{Requires: []string{"db@1.service", "docker.service"}, BindsTo: []string{"app.socket"}, After: []string{"db@1.service", "web@2.service"}}
	if !reflect.DeepEqual(needs, want) {
		t.Errorf("%+v, want %+v", needs, want)
	}
	if all := needs.All(); !slices.Equal(all, []string{"db@1.service", "docker.service", "app.socket", "web@2.service"}) {
		t.Errorf("%v", all)
	}
	if !needs.DependsOn("app.socket") || !needs.DependsOn("docker.service") || needs.DependsOn("web@2.service") {
		t.Error("what it cannot run without is another")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("web@1.service", "[Unit]\nDescription=x\n[X-Fleet]\nConflicts=\"a\" \"b\"\nMachineMetadata=a=b\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		file, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(file.String())
		if err != nil || again.Hash() != file.Hash() {
			t.Fatalf("written and read again it is another file: %v, %q", err, file)
		}
		if n, err := ParseName(name); err == nil {
			_, _ = file.Requirements(n)
			_ = file.Needs(n).All()
		}
	})
}
