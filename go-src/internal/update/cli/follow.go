package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/output"
	"coreos/internal/update/status"
)

// printStatus prints the lines that upstream prints, then ours.
func printStatus(w io.Writer, s status.Status, asJSON bool) error {
	if asJSON {
		return output.JSON(w, s)
	}
	checked := int64(0)
	if !s.LastChecked.IsZero() {
		checked = s.LastChecked.Unix()
	}
	fmt.Fprintf(w, "LAST_CHECKED_TIME=%d\nPROGRESS=%.6f\nCURRENT_OP=%s\nNEW_VERSION=%s\nNEW_SIZE=%d\n",
		checked, s.Progress(), s.Operation, s.NewVersion, s.Total)
	if s.Total > 0 {
		fmt.Fprintf(w, "FETCHED=%d\nTIME_LEFT=%d\n", s.Fetched, int(s.Left/time.Second))
	}
	for line := range strings.Lines(strings.TrimSpace(s.NewNotes)) {
		fmt.Fprintf(w, "RELEASE_NOTES=%s\n", strings.TrimRight(line, "\n"))
	}
	if s.LastError != "" {
		fmt.Fprintf(w, "LAST_ERROR=%s\n", s.LastError)
	}
	for _, version := range slices.Sorted(maps.Keys(s.Refused)) {
		fmt.Fprintf(w, "REFUSED_VERSION=%s %s\n", version, s.Refused[version])
	}
	return nil
}

func watch(ctx context.Context, client client, out io.Writer) error {
	return client.Watch(ctx, func(s status.Status) (bool, error) {
		if err := printStatus(out, s, false); err != nil {
			return true, err
		}
		fmt.Fprintln(out)
		return false, nil
	})
}

func needsReboot(ctx context.Context, client client) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if s.Operation != status.NeedReboot {
		return exit.Status(2)
	}
	return nil
}

// follow calls do, which has the daemon install a version, and shows the progress until do
// returns.
func follow(ctx context.Context, client client, out, progress io.Writer, do func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- do()
		cancel()
	}()
	show, finish := display(progress)
	err := client.Watch(ctx, func(s status.Status) (bool, error) {
		show(s)
		return false, nil
	})
	finish()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if err := <-done; err != nil {
		return err
	}
	s, err := client.Status(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	if s.Operation == status.NeedReboot {
		fmt.Fprintf(out, "version %s is installed; restart the machine to run it\n", s.NewVersion)
		return nil
	}
	fmt.Fprintln(out, "there is no update")
	return nil
}

// display returns a function that shows a status, as a bar on a terminal and as lines
// elsewhere, and a function to call after the last status.
func display(w io.Writer) (show func(status.Status), finish func()) {
	var last status.Operation
	if file, ok := w.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		return func(s status.Status) {
			if s.Operation != last {
				fmt.Fprintf(w, "%s %s, %d of %d bytes\n", s.Operation, s.NewVersion, s.Fetched, s.Total)
			}
			last = s.Operation
		}, func() {}
	}
	bar := pb.New64(0).Set(pb.Bytes, true).SetWriter(w).Start()
	return func(s status.Status) {
		bar.SetTotal(s.Total).SetCurrent(s.Fetched)
		bar.Set("prefix", string(s.Operation)+" ")
	}, func() { bar.Finish() }
}
