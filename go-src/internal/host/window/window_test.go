package window

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		start, length string
		ok            bool
	}{
		{"14:00", "1h", true}, {"9:00", "1h", true}, {"Thu 23:00", "1h30m", true}, {"tHU 9:5", "167h59m", true},
		{"00:00", "0s", true}, {"  sat   14:00 ", "1h", true}, {"00:00", "23h59m59s", true},
		{"25:00", "1h", false}, {"23:61", "1h", false}, {"14", "1h", false}, {"foo 14:00", "1h", false},
		{"sat 14:00", "1j", false}, {"sat 14:00", "-1h", false}, {"sat 14:00 1234", "1h", false}, {"sat", "1h", false},
		{"14:00", "24h", true}, {"sat 14:00", "168h", true}, {"14:00", "24h1m", false}, {"sat 14:00", "169h", false}, {"14:00:00", "1h", false}, {"", "1h", false}, {"14:00", "", false},
		// What people write.
		{"Mon-Fri 02:00", "1h", true}, {"mon..fri 02:00", "1h", true}, {"Sat,Sun 02:00", "1h", true}, {"Mon, Wed - Fri 02:00", "1h", true},
		{"Thursday 23:00", "1 hour", true}, {"Fri-Mon 02:00 ", " 90 min ", true}, {"\t14:00\n", "1h 30m", true}, {"14:00", "2 hours 30 minutes", true},
		{"14:00", "1 day", true}, {"Mon 00:00", "1 week", true}, {"14:00", "1hr", true}, {"14:00", "1.5h", true}, {"14:00", "1h30", false},
		{"Thurs 23:00", "1h", false}, {"Mon- 02:00", "1h", false}, {"Mon-Fri-Sun 02:00", "1h", false}, {", 02:00", "1h", false}, {"Mon,,Tue 02:00", "1h", false},
		{"02:00 Mon", "1h", false}, {"02:00-04:00", "1h", false}, {"Mon-Fri", "1h", false}, {"2pm", "1h", false}, {"daily 02:00", "1h", false},
		{"14:00", "60", false}, {"14:00", "1 5m", false}, {"14:00", "1M", false}, {"14:00", "hour", false}, {"14:00", "-1 hour", false},
		{"14:00", "99999999999999999999 hours", false}, {"14:00", "2 days", false}, {"14:00", "9223372036854775807s", false},
		{"Mon 00:00", "30501 weeks", false}, // as nanoseconds, 3 days after an overflow
	} {
		if _, err := Parse(test.start, test.length); (err == nil) != test.ok {
			t.Errorf("%q for %q: %v", test.start, test.length, err)
		}
	}
}

func TestNext(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		start, length string
		now           string
		want          string // how long ago the period began, or how long until it does
	}{
		{"00:15", "10s", "2015-05-21T00:00:00Z", "15m"},
		{"00:00", "1h", "2015-05-21T00:00:00Z", "0s"},
		{"00:00", "1h", "2015-05-21T00:00:01Z", "-1s"},
		{"02:33", "10h", "2015-05-21T12:33:00Z", "-10h"},
		{"02:33", "10h", "2015-05-21T12:33:01Z", "13h59m59s"},
		{"23:05", "11h", "2015-05-21T09:33:01Z", "-10h28m1s"},
		{"Thu 00:15", "10s", "2015-05-21T00:00:00Z", "15m"},
		{"Sun 00:00", "1h", "2015-05-17T00:00:01Z", "-1s"},
		{"Sat 23:05", "11h", "2015-05-17T09:33:01Z", "-10h28m1s"},
		{"Mon 9:00", "1h", "2015-05-30T23:00:00Z", "34h"},
		{"Sun 23:00", "4h", "2015-06-01T01:00:00Z", "-2h"},
		{"Thu 12:00", "167h", "2015-05-21T10:00:00Z", "-166h"},
		{"Thu 12:00", "1h", "2015-05-21T13:00:01Z", "166h59m59s"},
		{"Mon-Fri 02:00", "1h", "2015-05-22T03:00:01Z", "70h59m59s"}, // from Friday to Monday
		{"Sat,Sun 22:00", "4h", "2015-05-25T01:00:00Z", "-3h"},
		{"Fri-Mon 02:00", "1h", "2015-05-19T00:00:00Z", "74h"},
		{"Mon-Fri 00:00", "24h", "2015-05-21T12:00:00Z", "-84h"},
		// Clocks go forward at 2:00 and back at 3:00.
		{"02:00", "1h", "2026-03-29T00:30:00+01:00", "1h30m"},
		{"12:00", "1h", "2026-03-28T13:30:00+01:00", "21h30m"},
		{"12:00", "1h", "2026-10-24T13:30:00+02:00", "23h30m"},
	} {
		w, err := Parse(test.start, test.length)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		if now.Location() != time.UTC {
			now = now.In(berlin)
		}
		p := w.Next(now)
		want, _ := time.ParseDuration(test.want)
		if got := p.Start.Sub(now); got != want {
			t.Errorf("%s, at %s: begins in %s, want %s", w, now, got, want)
		}
		if p.Contains(now) != (want <= 0) {
			t.Errorf("%s, at %s: %+v", w, now, p)
		}
	}
}
