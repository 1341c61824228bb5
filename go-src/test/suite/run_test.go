package suite

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

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
