package suite

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/test/machine"

	"coreos/internal/host/treetest"
)

func TestIsIn(t *testing.T) {
	for _, test := range []struct {
		test                Test
		change, smoke, soak bool
	}{
		{Test{}, true, true, false},
		{Test{Native: true}, true, true, true}, // in the soak in QEMU
		{Test{Suite: Smoke}, false, true, false},
		{Test{Suite: Soak}, false, false, true},
	} {
		for suite, want := range map[Suite]bool{Change: test.change, Smoke: test.smoke, Soak: test.soak} {
			if got := test.test.isIn(suite); got != want {
				t.Errorf("%+v is in suite %d: %t, want %t", test.test, suite, got, want)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	t.Setenv(string(SigningKey), filepath.Join(t.TempDir(), "no-keys"))
	output := treetest.Dir(t, map[string]string{"elsewhere/coreos_production_boot.img": "", "host/bin/bootkey": ""})
	env := Env{Image: filepath.Join(output, "elsewhere/image.img"), Output: output}
	got := strings.Join(missing(env, []Test{
		{Name: "a", Needs: []Need{Boot, Usr}},
		{Name: "b", Needs: []Need{Usr, BootKey, SigningKey}},
	}), "\n")
	for _, want := range []string{"coreos_production_usr.img), for a, b", "no-keys), for b"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	for _, there := range []string{"boot.img", "bootkey"} {
		if strings.Contains(got, there) {
			t.Errorf("%s is there:\n%s", there, got)
		}
	}
}

// TestMeasure measures each kind of machine that is used, once, also where the host is as fast
// as usual.
func TestMeasure(t *testing.T) {
	native, qemu := Test{Native: true}, Test{}
	for name, test := range map[string]struct {
		lab              *machine.Lab
		chosen           []Test
		natives, emulate int
	}{
		"both":               {&machine.Lab{}, []Test{native, qemu, native, qemu}, 1, 1},
		"on the host":        {&machine.Lab{}, []Test{native, native}, 1, 0},
		"in QEMU":            {&machine.Lab{}, []Test{qemu, qemu}, 0, 1},
		"without the lab":    {nil, []Test{native, qemu}, 0, 1},
		"nothing to measure": {&machine.Lab{}, nil, 0, 0},
	} {
		var natives, emulate int
		(&run{lab: test.lab}).measure(t, test.chosen,
			func() float64 { natives++; return 1 },
			func(context.Context) (float64, error) { emulate++; return 1, nil })
		if natives != test.natives || emulate != test.emulate {
			t.Errorf("%s: measured %d times on the host and %d in QEMU, want %d and %d", name, natives, emulate, test.natives, test.emulate)
		}
	}
}

func TestScaled(t *testing.T) {
	for scale, want := range map[float64]int{1: 10, 4: 40, 1.01: 11} {
		if got := (&T{scale: scale}).Seconds(10); got != want {
			t.Errorf("10 s, %g times slower: %d s, want %d s", scale, got, want)
		}
	}
	if got := slowness(time.Second, 2*time.Second); got != 1 {
		t.Errorf("a machine twice as fast has shorter limits: %g", got)
	}
	if got := slowness(8*time.Second, 2*time.Second); got != 4 {
		t.Errorf("a machine that takes four times as long is %g times slower", got)
	}
}
