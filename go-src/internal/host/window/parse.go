package window

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Length of a day and of a week on a clock on the wall.
const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Parse parses a start and a length. A start is a time of the day, such as "14:00", after
// the days of the week on which the window begins, if it is not every day: "Thu 23:00",
// "Thursday 23:00", "Mon-Fri 02:00", "Mon..Fri 02:00", "Sat,Sun 02:00", as in
// systemd.time(7). A length is ParseLength's, of at most a day, or a week if there are days.
func Parse(start, length string) (*Window, error) {
	w, most, err := parseStart(start)
	if err != nil {
		return nil, fmt.Errorf("start of the reboot window %.40q: %w", start, err)
	}
	if w.length, err = ParseLength(length); err != nil {
		return nil, fmt.Errorf("length of the reboot window %.40q: %w", length, err)
	}
	if w.length > most {
		return nil, fmt.Errorf("length of the reboot window %.40q: want at most %s", length, most)
	}
	w.text = strings.TrimSpace(start) + " for " + strings.TrimSpace(length)
	return w, nil
}

// ParseStart returns an error if the text is no start of a window.
func ParseStart(text string) error {
	_, _, err := parseStart(text)
	return err
}

func parseStart(start string) (w *Window, most time.Duration, err error) {
	w, most = &Window{}, day
	fields := strings.Fields(start)
	if len(fields) == 0 {
		return nil, 0, errors.New("want a time such as 14:00, or days and a time such as Thu 23:00 or Mon-Fri 02:00")
	}
	// Upstream accepts 9:00 as well as 09:00.
	clock, err := time.Parse("15:4", fields[len(fields)-1])
	if err != nil {
		return nil, 0, errors.New("want a time of the day from 00:00 to 23:59, after the days, if there are some")
	}
	w.start = time.Duration(clock.Hour())*time.Hour + time.Duration(clock.Minute())*time.Minute
	w.days = everyDay
	if days := strings.Join(fields[:len(fields)-1], " "); days != "" {
		most = week
		w.days, err = parseDays(days)
	}
	return w, most, err
}

// parseDays parses days and ranges of days with commas between them.
func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.ReplaceAll(part, "..", "-"), "-")
		from, err := parseDay(first)
		if err != nil {
			return days, err
		}
		to := from
		if isRange {
			if to, err = parseDay(last); err != nil {
				return days, err
			}
		}
		for days[from] = true; from != to; days[from] = true {
			from = (from + 1) % 7
		}
	}
	return days, nil
}

func parseDay(text string) (time.Weekday, error) {
	text = strings.TrimSpace(text)
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(text, d.String()) || strings.EqualFold(text, d.String()[:3]) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%.20q is no day: want Sun, Mon, Tue, Wed, Thu, Fri, Sat, or the whole name", text)
}

// units are systemd's names of units of time, as far as they mean one thing.
var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": day, "day": day, "days": day,
	"w": week, "week": week, "weeks": week,
}

// ParseLength parses a length of time: one of Go's, such as "1h30m" or "1.5h", or one of
// systemd.time(7), such as "1 hour", "90 min" or "1h 30min". It is not negative.
func ParseLength(text string) (time.Duration, error) {
	compact := strings.Join(strings.Fields(text), "")
	if d, err := time.ParseDuration(compact); err == nil && d >= 0 && !splitsNumber(text) {
		return d, nil
	}
	var sum time.Duration
	rest := strings.TrimSpace(text)
	for {
		var digits, name string
		digits, rest = cutLeading(rest, unicode.IsDigit)
		name, rest = cutLeading(rest, unicode.IsLetter)
		unit, known := units[name]
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || !known || n > uint64(longest/unit) {
			return 0, errLength
		}
		if sum += time.Duration(n) * unit; sum > longest {
			return 0, errLength
		}
		if rest == "" {
			return sum, nil
		}
	}
}

// longest bounds the lengths with systemd's units, so that no sum overflows.
const longest = 10 * week

var errLength = errors.New("want a duration such as 1h30m or 2 hours")

// cutLeading returns the characters of a class at the beginning of a text, and what follows them and
// blanks.
func cutLeading(text string, class func(rune) bool) (leading, rest string) {
	rest = strings.TrimLeftFunc(text, class)
	leading = text[:len(text)-len(rest)]
	return leading, strings.TrimLeft(rest, " \t")
}

// splitsNumber reports whether white space separates two digits, as in "1 5m".
func splitsNumber(text string) bool {
	fields := strings.Fields(text)
	for i := 1; i < len(fields); i++ {
		before, after := fields[i-1], fields[i]
		if strings.ContainsAny(before[len(before)-1:], "0123456789.") && strings.ContainsAny(after[:1], "0123456789.") {
			return true
		}
	}
	return false
}
