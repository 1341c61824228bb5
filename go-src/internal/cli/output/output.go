// Package output prints what a command found: as a table for people, as JSON for programs.
package output

import (
	"encoding/json"
	"io"
	"text/tabwriter"
)

// JSON prints a value as indented JSON.
func JSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// Table returns a writer for lines with a tab after each cell but the last, which it
// aligns in columns. Flush prints them.
func Table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }
