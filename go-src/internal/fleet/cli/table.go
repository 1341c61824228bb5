package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"coreos/internal/cli/output"
)

// lister has the flags of a command that prints a table.
type lister struct {
	fields, output string
	full, noLegend bool
}

// column returns the text of an item in a column.
type column[T any] func(item T, full bool) string

func (l *lister) addFlags(command *cobra.Command, fields string, known []string) {
	f := command.Flags()
	f.BoolVarP(&l.full, "full", "l", false, "print IDs and hashes in full")
	f.BoolVar(&l.noLegend, "no-legend", false, "print no headers")
	f.StringVar(&l.fields, "fields", fields, "`COLUMNS` to print, separated by commas: "+strings.Join(known, ","))
	f.StringVar(&l.output, "output", "table", "table or json")
}

func names[T any](columns map[string]column[T]) []string { return slices.Sorted(maps.Keys(columns)) }

// listCommand makes a command that prints the items that fetch returns.
func listCommand[T any](a *app, command *cobra.Command, fields string, columns map[string]column[T], fetch func(context.Context) ([]T, error)) *cobra.Command {
	l := new(lister)
	l.addFlags(command, fields, names(columns))
	command.Args = cobra.ArbitraryArgs // upstream accepts and ignores arguments
	command.RunE = func(command *cobra.Command, _ []string) error {
		shown, err := choose(l, columns)
		if err != nil {
			return err
		}
		return a.on(func(ctx context.Context, _ []string) error {
			items, err := fetch(ctx)
			if err != nil {
				return err
			}
			return show(a, l, shown, items)
		})(command, nil)
	}
	return command
}

// choose returns the columns that --fields names.
func choose[T any](l *lister, columns map[string]column[T]) (shown []column[T], err error) {
	if l.output != "table" && l.output != "json" {
		return nil, fmt.Errorf("--output=%s is not table or json", l.output)
	}
	if l.fields == "" {
		return nil, fmt.Errorf("--fields names no columns; there are %s", strings.Join(names(columns), ","))
	}
	for field := range strings.SplitSeq(l.fields, ",") {
		if columns[field] == nil {
			return nil, fmt.Errorf("invalid key in output format: %q; there are %s", field, strings.Join(names(columns), ","))
		}
		shown = append(shown, columns[field])
	}
	return shown, nil
}

func show[T any](a *app, l *lister, shown []column[T], items []T) error {
	if l.output == "json" {
		return output.JSON(a.Out, append([]T{}, items...)) // [] for none
	}
	table := tabwriter.NewWriter(a.Out, 0, 8, 1, '\t', 0)
	if !l.noLegend {
		fmt.Fprintln(table, strings.ToUpper(strings.ReplaceAll(l.fields, ",", "\t")))
	}
	for _, item := range items {
		cells := make([]string, len(shown))
		for i, text := range shown {
			cells[i] = text(item, l.full)
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

// or returns the text, or a dash if it is empty.
func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
