package docs

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// external tells whether a link leads out of the tree.
func external(link string) bool {
	return strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:")
}

// target returns the destination of a link of a page: a path from the top, and an anchor.
func target(page Page, link string) (file, anchor string) {
	file, anchor, _ = strings.Cut(link, "#")
	if file == "" {
		return page.Path, anchor
	}
	return path.Join(path.Dir(page.Path), file), anchor
}

// DeadLinks returns the links within the tree that lead nowhere.
func DeadLinks(top string, pages []Page) []string {
	var dead []string
	for _, page := range pages {
		for _, link := range page.Links {
			if external(link) {
				continue
			}
			file, anchor := target(page, link)
			i := slices.IndexFunc(pages, func(p Page) bool { return p.Path == file })
			_, err := os.Stat(filepath.Join(top, file))
			switch {
			case err != nil:
				dead = append(dead, fmt.Sprintf("%s: link to %s: there is no %s", page.Path, link, file))
			case anchor != "" && (i < 0 || !slices.Contains(pages[i].Anchors, anchor)):
				dead = append(dead, fmt.Sprintf("%s: link to %s: %s has no heading for #%s", page.Path, link, file, anchor))
			}
		}
	}
	return dead
}

// Orphans returns the pages that links from the first one do not reach.
func Orphans(pages []Page, start string) []string {
	reached := map[string]bool{start: true}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		i := slices.IndexFunc(pages, func(p Page) bool { return p.Path == queue[0] })
		if i < 0 {
			continue
		}
		for _, link := range pages[i].Links {
			if file, _ := target(pages[i], link); !external(link) && !reached[file] {
				reached[file] = true
				queue = append(queue, file)
			}
		}
	}
	var orphans []string
	for _, page := range pages {
		if !reached[page.Path] {
			orphans = append(orphans, fmt.Sprintf("%s: no link leads to it from %s", page.Path, start))
		}
	}
	return orphans
}
