package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	rebootlock "coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
)

func (o *options) statusCommand() *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:   "status",
		Short: "Get the status of the cluster wide reboot lock",
		Long: "Prints how many machines may take the lock now, how many may hold it, and who does, as ever;\n" +
			"then what is known of the holders, releases that failed, and the machines of the group, those\n" +
			"that wait for the lock first, in the order in which they will restart.",
		Args: cobra.NoArgs,
		RunE: o.on(func(ctx context.Context, lock *rebootlock.Lock, _ []string) error {
			s, err := lock.Get(ctx)
			if err != nil {
				return fmt.Errorf("%w; no machine restarts while the lock cannot be had", err)
			}
			machines, err := lock.Machines(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(os.Stdout, s, machines)
			}
			return printStatus(os.Stdout, s, machines)
		}),
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return command
}

// Status is the status as JSON.
type Status struct {
	*semaphore.Semaphore
	Machines []machineStatus `json:"machines"`
}

type machineStatus struct {
	ID string `json:"id"`
	rebootlock.Machine
}

func printJSON(w io.Writer, s *semaphore.Semaphore, machines []rebootlock.Machine) error {
	status := Status{s, []machineStatus{}}
	for _, m := range machines {
		status.Machines = append(status.Machines, machineStatus{m.ID, m})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(status)
}

// printStatus prints upstream's lines, then what upstream does not know.
func printStatus(w io.Writer, s *semaphore.Semaphore, machines []rebootlock.Machine) error {
	fmt.Fprintf(w, "Available: %d\nMax: %d\n", s.Free, s.Max)
	if len(s.Holders) > 0 {
		fmt.Fprintln(w, "\nMACHINE ID")
		for _, id := range s.Holders {
			fmt.Fprintln(w, id)
		}
	}
	present := map[string]rebootlock.Machine{}
	for _, m := range machines {
		present[m.ID] = m
	}
	for _, id := range s.Holders {
		if h, _ := s.Holds(id); h.Failed != "" {
			fmt.Fprintf(w, "\nVersion %s FAILED on %s (%s): %s\nNo other machine restarts into it. After a look: locksmithctl unlock %s\n", h.FailedVersion, or(h.Host, "-"), id, h.Failed, id)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Details) > 0 {
		fmt.Fprintln(table, "\nHOLDER\tHOST\tSINCE\tWHY\tVERSION\tSTATE")
		for _, id := range s.Holders {
			h, _ := s.Holds(id)
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", id, or(h.Host, "-"), when(h.Since), or(h.Why, "-"), versions(h), holderState(h, present[id]))
		}
	}
	if len(machines) > 0 {
		fmt.Fprintln(table, "\nTURN\tMACHINE\tHOST\tVERSION\tNEXT\tSTATE\tWAITING")
		for _, m := range machines {
			turn := "-"
			if m.Turn > 0 {
				turn = fmt.Sprint(m.Turn)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", turn, m.ID, or(m.Host, "-"), or(m.Version, "-"), or(m.Next, "-"), m.State, or(m.Waiting, "-"))
		}
	}
	return table.Flush()
}

func versions(h semaphore.Holder) string {
	if h.To == "" {
		return "-"
	}
	return or(h.From, "?") + " to " + h.To
}

func holderState(h semaphore.Holder, m rebootlock.Machine) string {
	switch {
	case h.Failed != "":
		return "failed: " + h.Failed
	case m.ID == "":
		return "not heard of: restarting, or gone"
	}
	return m.State
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
