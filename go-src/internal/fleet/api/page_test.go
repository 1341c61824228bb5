package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	all := make([]int, 70_000)
	for i := range all {
		all[i] = i
	}
	for _, c := range [][2]int{{0, 100}, {1, 100}, {99, 100}, {100, 100}, {101, 100}, {200, 100}, {65_536, 100}, {65_601, 100}, {70_000, 100}, {3, 1}, {5, 2}, {70_000, 1000}} {
		n, size := c[0], c[1]
		seen, token := 0, ""
		for pages := 1; ; pages++ {
			u := &url.URL{}
			if token != "" {
				u.RawQuery = "nextPageToken=" + token
			}
			items, next, err := page(size, u, all[:n])
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range items {
				if item != seen {
					t.Fatalf("%d items: page %d has %d, want %d", n, pages, item, seen)
				}
				seen++
			}
			if token = next; token == "" {
				if want := max(1, (n+size-1)/size); pages != want {
					t.Errorf("%d items on %d pages", n, pages)
				}
				break
			}
		}
		if seen != n {
			t.Errorf("%d items of %d", seen, n)
		}
	}
}

func TestPageTokens(t *testing.T) {
	if got := encodePage(PageSize, 2); got != "ZAACAA==" { // what upstream sends
		t.Errorf("page 2 is %s", got)
	}
	for token, want := range map[string]string{
		"ZAACAA==":                 "",
		"ZAAAAA==":                 "counted from 1",
		"yAACAA==":                 "limit must be 100",
		"ZAACAAA=":                 "not a page token",
		"ZAA=":                     "not a page token",
		"x":                        "not a page token",
		"":                         "not a page token",
		"ZAACAA==&nextPageToken=x": "more than one",
	} {
		u := &url.URL{RawQuery: "nextPageToken=" + token}
		_, _, err := page(PageSize, u, make([]int, 300))
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("%q: %v", token, err)
		}
	}
	if _, _, err := page(PageSize, &url.URL{RawQuery: "nextPageToken=" + encodePage(PageSize, 65_535)}, make([]struct{}, 65_536*100)); err == nil {
		t.Error("a list that is too long ends without a word")
	}
}

func FuzzPageToken(f *testing.F) {
	f.Add("ZAACAA==")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		number, err := decodePage(PageSize, token)
		if err != nil {
			return
		}
		if again, err := decodePage(PageSize, encodePage(PageSize, number)); err != nil || again != number {
			t.Fatalf("%q is page %d, written and read again %d, %v", token, number, again, err)
		}
	})
}
