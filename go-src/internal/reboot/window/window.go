// Package window computes the reboot windows: times that recur every day or every week, in
// the format of locksmith's REBOOT_WINDOW_START and REBOOT_WINDOW_LENGTH
// (https://github.com/coreos/locksmith#reboot-windows).
package window

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Window is a recurring time, on the clock and in the time zone of the machine.
type Window struct {
	weekday      time.Weekday
	weekly       bool
	hour, minute int
	length       time.Duration
	text         string
}

var weekdays = map[string]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday,
	"thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday,
}

// Parse parses a start such as "14:00" or "Thu 23:00" and a length such as "1h30m", which
// must be less than the time from one window to the next.
func Parse(start, length string) (*Window, error) {
	w, err := parseStart(start)
	if err != nil {
		return nil, fmt.Errorf("start of the reboot window %.40q: %w", start, err)
	}
	period := 24 * time.Hour
	if w.weekly {
		period *= 7
	}
	w.length, err = time.ParseDuration(length)
	switch {
	case err != nil:
		return nil, fmt.Errorf("length of the reboot window %.40q: want a duration such as 1h30m", length)
	case w.length < 0 || w.length >= period:
		return nil, fmt.Errorf("length of the reboot window %.40q: want at least 0 and less than %s", length, period)
	}
	w.text = start + " for " + length
	return w, nil
}

func parseStart(start string) (*Window, error) {
	w := new(Window)
	fields := strings.Fields(start)
	if len(fields) == 2 {
		day, ok := weekdays[strings.ToLower(fields[0])]
		if !ok {
			return nil, errors.New("the day is one of Sun, Mon, Tue, Wed, Thu, Fri, Sat")
		}
		w.weekday, w.weekly, fields = day, true, fields[1:]
	}
	if len(fields) != 1 {
		return nil, errors.New("want a time such as 14:00, or a day and a time such as Thu 23:00")
	}
	// Upstream accepts 9:00 as well as 09:00.
	clock, err := time.Parse("15:4", fields[0])
	if err != nil {
		return nil, errors.New("want a time of the day from 00:00 to 23:59")
	}
	w.hour, w.minute = clock.Hour(), clock.Minute()
	return w, nil
}

func (w *Window) String() string { return w.text }

// Period is one occurrence of a window.
type Period struct{ Start, End time.Time }

// Contains reports whether a time is in the period, including its ends.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Start) && !t.After(p.End) }

// Next returns the period that contains a time, else the first period after it.
func (w *Window) Next(t time.Time) Period {
	// A period that began earlier may still last.
	days := -1
	if w.weekly {
		days = -7
	}
	for ; ; days++ {
		p := w.on(t, days)
		if !p.End.Before(t) && (!w.weekly || p.Start.Weekday() == w.weekday) {
			return p
		}
	}
}

// on returns the period that starts a number of days after a time. It computes by the
// calendar: a day on which the clock changes does not have 24 hours.
func (w *Window) on(t time.Time, days int) Period {
	start := time.Date(t.Year(), t.Month(), t.Day()+days, w.hour, w.minute, 0, 0, t.Location())
	return Period{start, start.Add(w.length)}
}
