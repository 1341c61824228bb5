package singledash

import (
	"slices"
	"testing"
)

func TestArgs(t *testing.T) {
	got := Args([]string{"-status", "--json", "-h", "-", "--", "file", "-from-file=x", ""})
	want := []string{"--status", "--json", "-h", "-", "--", "file", "--from-file=x", ""}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
