// Package window computes the reboot windows: times that recur every day or on days of the
// week, in the format of locksmith's REBOOT_WINDOW_START and REBOOT_WINDOW_LENGTH
// (https://github.com/coreos/locksmith#reboot-windows).
package window

import "time"

// Window is a recurring time, on the clock on the wall where the machine is: a moment is in
// the window if that clock shows a time from the start of the window to its end. An hour
// that the clock skips does not exist, and one that it shows twice counts twice.
type Window struct {
	days   [7]bool       // on which it begins, by time.Weekday
	start  time.Duration // after midnight
	length time.Duration
	text   string
}

var everyDay = [7]bool{true, true, true, true, true, true, true}

func (w *Window) String() string { return w.text }

// Period is one occurrence of a window.
type Period struct{ Start, End time.Time }

// Contains reports whether a time is in the period, including its ends.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Start) && !t.After(p.End) }

// furthest bounds how far ahead Next looks for the end of a period: some windows have none.
const furthest = 2 * week

// Next returns the period that contains a time, else the first period after it.
func (w *Window) Next(t time.Time) Period {
	var p Period
	found := false
	// A period that began earlier may still last.
	before := week
	if w.days == everyDay {
		before = day
	}
	for at := t.Add(-before - 2*day); ; {
		s := segmentAt(at)
		for _, next := range w.in(s) {
			if found && !next.Start.After(p.End.Add(time.Nanosecond)) {
				p.End = later(p.End, next.End)
				continue
			}
			if found && !p.End.Before(t) {
				return p
			}
			p, found = next, true
		}
		at = s.end
		lasts := p.End.Equal(s.end.Add(-time.Nanosecond)) && at.Sub(t) < furthest
		if found && !p.End.Before(t) && !lasts {
			return p
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// segment is a time in which the clock on the wall runs steadily.
type segment struct {
	start, end time.Time     // the end is not in it
	offset     time.Duration // of the clock on the wall from UTC
}

// segmentAt returns the rest of the segment with a time, or a week of it.
func segmentAt(t time.Time) segment {
	_, offset := t.Zone()
	s := segment{start: t, end: t.Add(week), offset: time.Duration(offset) * time.Second}
	if _, end := t.ZoneBounds(); !end.IsZero() && end.Before(s.end) {
		s.end = end
	}
	return s
}

// in returns the parts of the window's occurrences that are in a segment, in their order.
func (w *Window) in(s segment) []Period {
	// The clock on the wall, as a time in UTC: its days have 24 hours.
	wall := func(t time.Time) time.Time { return t.UTC().Add(s.offset) }
	first, last := wall(s.start), wall(s.end)
	midnight := first.Add(-w.length).Truncate(day)
	var all []Period
	for ; midnight.Before(last); midnight = midnight.Add(day) {
		if !w.days[midnight.Weekday()] {
			continue
		}
		start := midnight.Add(w.start)
		end := start.Add(w.length)
		if end.Before(first) || !start.Before(last) {
			continue
		}
		p := Period{s.start, s.end.Add(-time.Nanosecond)}
		if !start.Before(first) {
			p.Start = start.Add(-s.offset).In(s.start.Location())
		}
		if end.Before(last) {
			p.End = end.Add(-s.offset).In(s.start.Location())
		}
		all = append(all, p)
	}
	return all
}
