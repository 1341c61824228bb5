package docs

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Unmarked returns what is wrong with the marks of the pages' code blocks.
func Unmarked(pages []Page) []string {
	var all []string
	for _, page := range pages {
		for _, block := range page.Blocks {
			if wrong := block.wrongMark(); wrong != "" {
				all = append(all, fmt.Sprintf("%v: %s: %s", block, wrong, block.first()))
			}
		}
	}
	return all
}

// first is the first line of a block.
func (b Block) first() string {
	if len(b.Lines) == 0 {
		return ""
	}
	return strings.TrimSpace(b.Lines[0])
}

// column is that of a block in the table.
func (b Block) column() string {
	switch {
	case b.Kind == Run && (b.Value == QEMU || b.Value == Booted || b.Has(Boots)):
		return "run in QEMU"
	case b.Kind == Run:
		return "run"
	case b.Kind == File || b.Kind == Config:
		return "files"
	}
	return string(b.Kind)
}

// Report is the table of all blocks, and the list of those with commands that no test runs, with
// the reasons.
func Report(pages []Page) string {
	columns := []string{"run", "run in QEMU", "files", string(Synopsis), string(Prints), string(NotRun)}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\npage\t"+strings.Join(columns, "\t")+"\t")
	all := Page{Path: "all"}
	for _, page := range pages {
		all.Blocks = append(all.Blocks, page.Blocks...)
	}
	for _, page := range append(slices.Clip(pages), all) {
		count := map[string]int{}
		for _, block := range page.Blocks {
			count[block.column()]++
		}
		_, _ = fmt.Fprintf(table, "%s\t", page.Path)
		for _, column := range columns {
			_, _ = fmt.Fprintf(table, "%d\t", count[column])
		}
		_, _ = fmt.Fprintln(table)
	}
	_ = table.Flush()
	b.WriteString("\nnot run:\n")
	for _, block := range all.Blocks {
		if block.Kind == NotRun {
			_, _ = fmt.Fprintf(&b, "  %-28s %s: %.60s\n", block, block.Value, block.first())
		}
	}
	return b.String()
}
