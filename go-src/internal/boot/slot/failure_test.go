package slot

import (
	"testing"

	"coreos/internal/boot/grubenv"
)

func TestRecordFailure(t *testing.T) {
	const corrupted, reason = "dm-verity device corrupted", "panic:dm-verity-device-corrupted"
	tests := []struct {
		name       string
		own, other State
		message    string
		why, whyB  string
	}{
		{"both fine", State{2, true, ""}, State{3, true, ""}, "", "", ""},
		{"fine, but panicked in service", State{2, true, ""}, State{3, true, ""}, corrupted, "", ""},
		{"fallback from a panic", State{2, true, ""}, State{0, false, ""}, corrupted, "", reason},
		{"fallback from silence", State{2, true, ""}, State{0, false, ""}, "", "", NoTrace},
		{"fallback long ago", State{2, true, ""}, State{0, false, NoTrace}, corrupted, "", NoTrace},
		{"fallback from bad health", State{2, true, ""}, State{0, false, "unhealthy:x"}, "", "", "unhealthy:x"},
		{"first boot of a trial", State{2, false, ""}, State{3, true, ""}, corrupted, "", ""},
		{"second boot of a trial", State{1, false, ""}, State{3, true, ""}, corrupted, reason, ""},
		{"last boot of a trial", State{0, false, "unhealthy:x"}, State{3, true, ""}, corrupted, reason, ""},
		{"second boot, no panic", State{1, false, "unhealthy:x"}, State{3, true, ""}, "", "unhealthy:x", ""},
		{"trial beside an empty slot", State{1, false, ""}, State{0, false, Empty}, corrupted, reason, Empty},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := grubenv.Env{}
			States{[2]Name{A, B}, map[Name]State{A: test.own, B: test.other}}.encode(env)
			store := newMemory(t, env)
			if err := RecordFailure(store, A, test.message); err != nil {
				t.Fatal(err)
			}
			got := decode(mustRead(t, store))
			test.own.Why, test.other.Why = test.why, test.whyB
			if got.Slots[A] != test.own || got.Slots[B] != test.other {
				t.Errorf("got %+v, want %+v and %+v", got.Slots, test.own, test.other)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	for message, want := range map[string]string{
		"Attempted to kill init! exitcode=0x0000000b":                "panic:Attempted-to-kill-init--exitcode-0x0000000b",
		"VFS: Unable to mount root fs on \"\" or unknown-block(0,0)": "panic:VFS:-Unable-to-mount-root-fs-on----or-unknown-block(0-0)",
		"$x\n`y`": "panic:-x--y-",
	} {
		if got := Panic(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}
