package main

import (
	"context"
	"encoding/json"
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

	"coreos/internal/update/bus"
	"coreos/internal/update/status"
)

// printStatus prints upstream's lines, and then ours.
func printStatus(w io.Writer, s status.Status, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
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

func watch(ctx context.Context, client *bus.Client) error {
	return client.Watch(ctx, func(s status.Status) (bool, error) {
		if err := printStatus(os.Stdout, s, false); err != nil {
			return true, err
		}
		fmt.Println()
		return false, nil
	})
}

func needsReboot(ctx context.Context, client *bus.Client) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if s.Operation != status.NeedReboot {
		os.Exit(2)
	}
	return nil
}

// update has the daemon update and follows it to the end.
func update(ctx context.Context, client *bus.Client) error {
	return follow(ctx, client, func() error { return client.Call(ctx, "Update") })
}

// apply has the daemon install a bundle and follows it to the end.
func apply(ctx context.Context, client *bus.Client, path string) error {
	return follow(ctx, client, func() error { return client.Call(ctx, "ApplyBundle", path) })
}

// follow shows the progress of what do does: a bar on a terminal, lines elsewhere.
func follow(ctx context.Context, client *bus.Client, do func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- do()
		cancel()
	}()
	show, finish := display(os.Stderr)
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
		fmt.Printf("version %s is installed; restart the machine to run it\n", s.NewVersion)
		return nil
	}
	fmt.Println("there is no update")
	return nil
}

// display returns what shows a status and what ends that.
func display(w *os.File) (show func(status.Status), finish func()) {
	var last status.Operation
	if !term.IsTerminal(int(w.Fd())) {
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
