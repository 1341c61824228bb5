package singledash

import (
	"slices"
	"testing"
)

func TestArgs(t *testing.T) {
	got := Args([]string{"-status", "--json", "-h", "-", "-from-file=x", "", "--", "file", "-status"})
	want := []string{"--status", "--json", "-h", "-", "--from-file=x", "", "--", "file", "-status"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
