// Package grubtest is a model of board/coreos/grub.cfg: which slot the boot loader
// starts, and what it leaves in its environment block. Tests of what must survive a
// power cut decide by it; that it is true to the real one, a test of booted machines
// shows.
package grubtest

import "coreos/internal/boot/slot"

// Boot does what GRUB does once: it returns the slot that was started, and changes the
// states as GRUB does. loads tells whether a slot's files are there with good
// signatures. "" says that no slot could be started.
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
