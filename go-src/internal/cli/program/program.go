// Package program runs a cobra command as a program. All programs end on the same signals,
// print errors in the same form, and have the same exit statuses.
package program

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/redact"
)

// MisuseFails is the annotation of a command that ends with 1 for a wrong command line,
// because 2 is the answer to a question.
const MisuseFails = "misuse-fails"

// Streams are those of a program.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command of this process with arguments, and ends the process. The
// command's context ends with SIGINT and SIGTERM.
func Main(command *cobra.Command, args []string) {
	Process(func(ctx context.Context, streams Streams) int { return Run(ctx, command, args, streams) })
}

// Process runs a program as this process, and ends the process with the status that run
// returns. The context ends with SIGINT and SIGTERM. A second signal ends the process, so
// that a program that does not look at its context can be interrupted, too. Secrets in URLs
// do not get into the log.
func Process(run func(context.Context, Streams) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	// The default logger of log/slog writes by package log.
	log.SetOutput(redact.Writer{To: os.Stderr})
	status := run(ctx, Streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(status)
}

// Run runs a command with arguments and returns its exit status: 0 when all went well, 1
// for an error, 2 for a wrong command line, or what an exit.Status says. Errors are
// written to Err, after the command's name.
func Run(ctx context.Context, command *cobra.Command, args []string, streams Streams) int {
	connect(ctx, command, args, streams)
	// cobra would add these later, after prepare.
	command.InitDefaultHelpCmd()
	command.InitDefaultCompletionCmd(args...)
	prepare(command)
	status, print, err := execute(ctx, command)
	if status == exit.Misuse && print && command.Annotations[MisuseFails] != "" {
		status = exit.Failure
	}
	if print {
		fmt.Fprintf(streams.Err, "%s: %v\n", command.Name(), redact.Error(err))
	}
	return status
}

// Execute executes a command as it is. It returns the exit status, and whether the error has
// to be printed.
func Execute(ctx context.Context, command *cobra.Command, args []string, streams Streams) (status int, print bool, err error) {
	connect(ctx, command, args, streams)
	return execute(ctx, command)
}

func execute(ctx context.Context, command *cobra.Command) (status int, print bool, err error) {
	err = command.ExecuteContext(ctx)
	status, print = exit.Of(err)
	return status, print, err
}

// connect gives a command its arguments and streams. Reads of its input end with the context.
func connect(ctx context.Context, command *cobra.Command, args []string, streams Streams) {
	if args == nil {
		args = []string{} // cobra would take those of the process
	}
	if streams.In != nil {
		streams.In = input{ctx, streams.In}
	}
	command.SetArgs(args)
	command.SetIn(streams.In)
	command.SetOut(streams.Out)
	command.SetErr(streams.Err)
}
