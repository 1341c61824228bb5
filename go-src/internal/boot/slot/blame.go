package slot

import "strings"

// NoTrace is the reason when a slot's last boot ended without anybody having noticed
// why: the kernel hung, or panicked too early to keep its messages, or the power went.
const NoTrace = "no-trace"

// Panic makes a reason of a kernel's last message.
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

// Blame records why boots before the current one failed, if nobody else did. message
// is what the last kernel said when it panicked, "" if it did not.
func Blame(store Store, running Name, message string) error {
	return update(store, func(s *States) error {
		own, other := s.Slots[running], s.Slots[running.Other()]
		switch {
		case other.Tries == 0 && other.Why == "": // it had the boots before this one
			other.Why = NoTrace
			if message != "" {
				other.Why = Panic(message)
			}
		case message != "" && !own.OK && own.Tries < MaxTries-1: // so had this one
			own.Why = Panic(message)
		}
		s.Slots[running], s.Slots[running.Other()] = own, other
		return nil
	})
}
