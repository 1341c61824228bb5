package sourcedate

import (
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	tests := []struct {
		epoch string
		want  time.Time // zero: an error
	}{
		{"0", time.Unix(0, 0)},
		{"1700000000", time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)},
		{"yesterday", time.Time{}},
		{"1.5", time.Time{}},
		{" 1", time.Time{}},
		{"99999999999999999999", time.Time{}},
	}
	for _, test := range tests {
		t.Setenv("SOURCE_DATE_EPOCH", test.epoch)
		got, err := Now()
		if (err != nil) != test.want.IsZero() || !got.Equal(test.want) {
			t.Errorf("%q: got %v, %v", test.epoch, got, err)
		}
		if err == nil && got.Location() != time.UTC {
			t.Errorf("%q: time zone %v", test.epoch, got.Location())
		}
	}
}

func TestNowWithoutEpoch(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	before := time.Now()
	got, err := Now()
	if err != nil || got.Before(before) || got.After(time.Now()) {
		t.Errorf("got %v, %v", got, err)
	}
}
