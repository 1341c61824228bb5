package window

import (
	"archive/zip"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// change is a change of the clock on the wall in a year.
type change struct {
	zone string
	at   time.Time
}

// changes returns a zone for each way in which a clock of the world changes in a year and the
// next one: the day of the week, and the time that it shows before and after.
func changes(t *testing.T, year int) []change {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	zones, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zones.Close() }()
	seen := map[string]bool{}
	var all []change
	for _, file := range zones.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		zone, err := time.LoadLocation(file.Name)
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Date(year, 1, 1, 0, 0, 0, 0, zone); ; {
			_, end := at.ZoneBounds()
			if end.IsZero() || end.Year() > year+1 {
				break
			}
			way := end.Add(-time.Nanosecond).Format("Mon 15:04") + end.Format(" 15:04")
			if !seen[way] {
				seen[way] = true
				all = append(all, change{file.Name, end})
			}
			at = end
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d changes of the clock since %d", len(all), year)
	}
	return all
}

// shows tells by what the clock shows at a time whether that is in a window: the start and the
// length in minutes, the days on which it begins.
func shows(t time.Time, days string, start, length int) bool {
	hour, minute, _ := t.Clock()
	today := int(t.Weekday())
	for back := range 8 {
		begins := strings.Contains(days, time.Weekday((today + 7 - back%7) % 7).String()[:3])
		since := back*24*60 + hour*60 + minute - start
		if begins && since >= 0 && since <= length {
			return true
		}
	}
	return false
}

const everyDays = "Sun Mon Tue Wed Thu Fri Sat"

// TestClockOnTheWall walks minute by minute past the changes of the clock in two years.
func TestClockOnTheWall(t *testing.T) {
	for _, test := range []struct {
		days         string
		hour, minute int
		length       time.Duration
		text         string
	}{
		{everyDays, 0, 30, 2 * time.Hour, "00:30"},
		{everyDays, 1, 30, time.Hour, "01:30"},
		{everyDays, 2, 0, time.Hour, "02:00"},
		{everyDays, 23, 30, 23*time.Hour + 30*time.Minute, "23:30"},
		{"Sun", 0, 30, 2 * time.Hour, "Sun 00:30"},
		{"Sat Sun", 22, 0, 6 * time.Hour, "Sat,Sun 22:00"},
		{"Fri", 23, 45, 3 * time.Hour, "Friday 23:45"},
	} {
		w, err := Parse(test.text, test.length.String())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes(t, 2025) {
			walk(t, c, w, func(at time.Time) bool {
				return shows(at, test.days, test.hour*60+test.minute, int(test.length.Minutes()))
			})
		}
	}
}

// walk compares a window with what a clock shows, from a day and a half before its change to
// as long after it.
func walk(t *testing.T, c change, w *Window, in func(time.Time) bool) {
	t.Helper()
	const around = 36 * time.Hour
	wrong := 0
	for at := c.at.Add(-around).Truncate(time.Minute); at.Before(c.at.Add(around)); at = at.Add(time.Minute) {
		p := w.Next(at)
		want := in(at)
		soon := at.Add(time.Minute)
		problem := ""
		switch {
		case p.Contains(at) != want:
			problem = fmt.Sprintf("in the window: %v", !want)
		case !want && !p.Start.After(at):
			problem = "the next window has passed"
		case !want && p.Start.After(soon) == in(soon):
			problem = "the next window is announced for " + p.Start.Format(time.RFC3339)
		}
		if problem != "" {
			if wrong++; wrong == 1 {
				t.Errorf("%s, %s, at %s: %s", c.zone, w, at.In(c.at.Location()).Format("Mon 2006-01-02 15:04 -07"), problem)
			}
		}
	}
	if wrong > 1 {
		t.Errorf("%s, %s: %d minutes are wrong", c.zone, w, wrong)
	}
}
