package slot

import "strings"

// NoTrace is the reason of a slot whose last boot failed without a trace: the kernel hung,
// or panicked too early to record it, or the power failed.
const NoTrace = "no-trace"

// Panic returns the reason for a panic with the message.
func Panic(message string) string {
	return "panic:" + strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-_.:()", r):
			return r
		default:
			return '-'
		}
	}, message)
}

// RecordFailure records why earlier boots failed, unless a reason is recorded already. message is
// the message of the last panic, "" if the kernel did not panic.
func RecordFailure(store Store, running Name, message string) error {
	return update(store, func(s *States) error {
		own, other := s.Slots[running], s.Slots[running.Other()]
		switch {
		case other.Tries == 0 && other.Why == "": // the earlier boots were of the other slot
			other.Why = NoTrace
			if message != "" {
				other.Why = Panic(message)
			}
		case message != "" && !own.OK && own.Tries < MaxTries-1: // the earlier boots were of this slot
			own.Why = Panic(message)
		}
		s.Slots[running], s.Slots[running.Other()] = own, other
		return nil
	})
}
