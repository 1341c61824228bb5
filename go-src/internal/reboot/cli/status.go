package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/output"
	"coreos/internal/cli/program"
	"coreos/internal/reboot/lock"
	"coreos/internal/reboot/semaphore"
)

func (o *options) statusCommand() *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:   "status",
		Short: "Get the status of the cluster wide reboot lock",
		Long: "Print how many machines can take the lock now, how many may hold it at most, and the holders.\n" +
			"Then print details of the holders, versions that failed, and the machines of the group. The\n" +
			"machines that wait for the lock come first, in the order in which they will restart.",
		Args: program.NoArgs,
	}
	command.RunE = o.on(func(ctx context.Context, l *lock.Lock, _ []string) error {
		s, err := l.Get(ctx)
		if err != nil {
			return fmt.Errorf("%w; no machine restarts until the lock can be read", err)
		}
		machines, err := l.Machines(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), s, machines)
		}
		return printStatus(command.OutOrStdout(), s, machines)
	})
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// Status is the status as JSON.
type Status struct {
	*semaphore.Semaphore
	Machines []machineStatus `json:"machines"`
}

type machineStatus struct {
	ID string `json:"id"`
	lock.Machine
}

func printJSON(w io.Writer, s *semaphore.Semaphore, machines []lock.Machine) error {
	status := Status{s, []machineStatus{}}
	for _, m := range machines {
		status.Machines = append(status.Machines, machineStatus{m.ID, m})
	}
	return output.JSON(w, status)
}

// printStatus prints the lines that upstream prints, then ours.
func printStatus(w io.Writer, s *semaphore.Semaphore, machines []lock.Machine) error {
	fmt.Fprintf(w, "Available: %d\nMax: %d\n", s.Free, s.Max)
	if len(s.Holders) > 0 {
		fmt.Fprintln(w, "\nMACHINE ID")
		for _, id := range s.Holders {
			fmt.Fprintln(w, id)
		}
	}
	present := map[string]lock.Machine{}
	for _, m := range machines {
		present[m.ID] = m
	}
	for _, id := range s.Holders {
		if h, _ := s.Holds(id); h.Failed != "" {
			fmt.Fprintf(w, "\nVersion %s FAILED on %s (%s): %s\nNo other machine restarts into this version. To release the lock: locksmithctl unlock %s\n", h.FailedVersion, cmp.Or(h.Host, "-"), id, h.Failed, id)
		}
	}
	table := output.Table(w)
	if len(s.Details) > 0 {
		fmt.Fprintln(table, "\nHOLDER\tHOST\tSINCE\tWHY\tVERSION\tSTATE")
		for _, id := range s.Holders {
			h, _ := s.Holds(id)
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", id, cmp.Or(h.Host, "-"), when(h.Since), cmp.Or(h.Why, "-"), versions(h), holderState(h, present[id]))
		}
	}
	if len(machines) > 0 {
		fmt.Fprintln(table, "\nTURN\tMACHINE\tHOST\tVERSION\tNEXT\tSTATE\tWAITING")
		for _, m := range machines {
			turn := "-"
			if m.Turn > 0 {
				turn = fmt.Sprint(m.Turn)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", turn, m.ID, cmp.Or(m.Host, "-"), cmp.Or(m.Version, "-"), cmp.Or(m.Next, "-"), m.State, cmp.Or(m.Waiting, "-"))
		}
	}
	return table.Flush()
}

func versions(h semaphore.Holder) string {
	if h.To == "" {
		return "-"
	}
	return cmp.Or(h.From, "?") + " to " + h.To
}

func holderState(h semaphore.Holder, m lock.Machine) string {
	switch {
	case h.Failed != "":
		return "failed: " + h.Failed
	case m.ID == "":
		return "no answer: the machine restarts or is gone"
	}
	return m.State
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
