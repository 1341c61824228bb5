// Package grubtest has a model of board/coreos/grub.cfg for tests of power cuts: which slot
// the boot loader starts, and how it changes its environment block. A test that boots
// machines checks the model against GRUB.
package grubtest

import "coreos/internal/boot/slot"

// Boot models one run of GRUB: it changes the states and returns the slot that was started,
// "" if none could be started. loads reports whether the files of a slot exist with good
// signatures.
func Boot(states *slot.States, loads func(slot.Name) bool) slot.Name {
	start := func(n slot.Name) bool {
		if loads(n) {
			return true
		}
		state := states.Slots[n]
		state.Tries, state.Why = 0, "boot"
		states.Slots[n] = state
		return false
	}
	for _, n := range states.Order {
		if state := states.Slots[n]; state.Tries > 0 {
			state.Tries--
			states.Slots[n] = state
			if start(n) {
				return n
			}
		}
	}
	for _, proven := range []bool{true, false} {
		for _, n := range states.Order {
			if states.Slots[n].OK == proven && start(n) {
				return n
			}
		}
	}
	return ""
}
