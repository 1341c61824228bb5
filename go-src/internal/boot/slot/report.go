package slot

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"coreos/internal/boot/bootimage"
	"coreos/internal/cli/output"
)

// Report describes a slot: its boot state and its boot image.
type Report struct {
	Slot    Name   `json:"slot"`
	Version string `json:"version"`
	UsrHash string `json:"usrhash"`
	Tries   int    `json:"tries"`
	OK      bool   `json:"ok"`
	Why     string `json:"why,omitempty"`
	Running bool   `json:"running"`
	Next    bool   `json:"next"`
	Problem string `json:"problem,omitempty"` // why the boot image cannot be read
}

// Inspect returns reports on both slots. open opens the boot partition of a slot.
func Inspect(states States, running Name, open func(Name) (io.ReadCloser, error)) []Report {
	reports := make([]Report, 0, 2)
	for _, n := range []Name{A, B} {
		state := states.Slots[n]
		report := Report{
			Slot: n, Tries: state.Tries, OK: state.OK, Why: state.Why,
			Running: n == running, Next: n == states.Next(),
		}
		info, err := readImage(n, open)
		switch {
		case errors.Is(err, bootimage.ErrEmpty):
			report.Problem = "empty"
		case err != nil:
			report.Problem = err.Error()
		}
		report.Version, report.UsrHash = info.Version, info.UsrHash()
		reports = append(reports, report)
	}
	return reports
}

func readImage(n Name, open func(Name) (io.ReadCloser, error)) (bootimage.Info, error) {
	partition, err := open(n)
	if err != nil {
		return bootimage.Info{}, err
	}
	defer func() { _ = partition.Close() }()
	return bootimage.ReadInfo(bufio.NewReaderSize(partition, 64<<10))
}

// OpenDevice opens the boot partition of a slot by its path.
func OpenDevice(path string) (io.ReadCloser, error) { return os.Open(path) }

// WriteTable writes the reports as a table for people.
func WriteTable(w io.Writer, reports []Report) error {
	table := output.Table(w)
	fmt.Fprintln(table, "SLOT\tVERSION\tTRIES\tPROVEN\tROOT HASH\tSTATE")
	for _, r := range reports {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", r.Slot, cmp.Or(r.Version, "-"), r.Tries, yes(r.OK), cmp.Or(short(r.UsrHash), "-"), r.state())
	}
	return table.Flush()
}

func (r Report) state() string {
	var words []string
	if r.Running {
		words = append(words, "running")
	}
	if r.Next {
		words = append(words, "next")
	}
	if r.Problem != "" {
		words = append(words, r.Problem)
	}
	if r.Why != "" && r.Why != Empty {
		words = append(words, "failed: "+r.Why)
	}
	return cmp.Or(strings.Join(words, ", "), "-")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func short(hash string) string { return hash[:min(len(hash), 12)] }

// WriteJSON writes the reports for programs.
func WriteJSON(w io.Writer, reports []Report) error {
	return output.JSON(w, reports)
}
