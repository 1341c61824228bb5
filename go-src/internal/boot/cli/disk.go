package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/host/storage"
)

// errDisk says that something is wrong with a file system. Its details have been printed.
var errDisk = errors.New("this machine cannot save everything, or soon will not")

func diskCommand() *cobra.Command {
	var note string
	command := &cobra.Command{
		Use:   "disk",
		Short: "Say whether /, /etc and /var can be written and have room",
		Long: "Say whether the file systems that the system writes to can be written and have room, and what\n" +
			"to do if not; then exit with 1. --note writes it to a file, which people see when they log in,\n" +
			"prints only what has changed since, and has slot-health.service judge the slot when what kept it\n" +
			"from that is over.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			problems, err := storage.Check(storage.System...)
			if err != nil {
				return err
			}
			if note != "" {
				return takeNote(command.OutOrStdout(), note, problems, judgeSlot)
			}
			if len(problems) == 0 {
				_, err := fmt.Fprintln(command.OutOrStdout(), "/, /etc and /var can be written and have room")
				return err
			}
			fmt.Fprint(command.OutOrStdout(), storage.Text(problems))
			return errDisk
		},
	}
	command.Flags().StringVar(&note, "note", "", "`file` for the note (used by disk-check.service)")
	return command
}

// The prefixes of lines for the journal, as sd-daemon(3) has them.
const (
	journalWarning = "<4>"
	journalNotice  = "<5>"
)

// takeNote writes the problems to a file, prints to the journal those that the file did not have,
// and calls over when the last one is.
func takeNote(journal io.Writer, file string, problems []storage.Problem, over func() error) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	before := strings.Split(string(text), "\n")
	for _, p := range problems {
		if !known(before, p) {
			fmt.Fprintln(journal, journalWarning+p.String())
		}
	}
	if err := renameio.WriteFile(file, []byte(storage.Text(problems)), 0o644); err != nil {
		return err
	}
	if len(text) == 0 || len(problems) > 0 {
		return nil
	}
	fmt.Fprintln(journal, journalNotice+"/, /etc and /var can be written and have room again")
	return over()
}

// known reports whether one of the lines says the same of the same file system, with numbers that may
// differ.
func known(lines []string, p storage.Problem) bool {
	what, _, _ := strings.Cut(p.String(), ":")
	for _, line := range lines {
		if strings.HasPrefix(line, what+":") {
			return true
		}
	}
	return false
}

// judgeSlot starts the health checks, unless they have passed already.
func judgeSlot() error {
	if out, err := exec.Command("systemctl", "--no-block", "start", "slot-health.service").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl start slot-health.service: %w: %s", err, out)
	}
	return nil
}
