package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
)

// tool is a command with commands below it, and what each of them can do wrong.
func tool() *cobra.Command {
	root := &cobra.Command{Use: "tool", Version: "1.0"}
	get := &cobra.Command{
		Use:  "get KEY",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			switch args[0] {
			case "none":
				return errors.New("no key none")
			case "three":
				return exit.Status(3)
			case "late":
				return exit.Usagef("late is no key")
			}
			_, err := fmt.Fprintln(command.OutOrStdout(), args[0])
			return err
		},
	}
	get.Flags().String("from", "", "")
	get.Flags().Bool("all", false, "")
	get.Flags().Bool("one", false, "")
	_ = get.MarkFlagRequired("from")
	get.MarkFlagsMutuallyExclusive("all", "one")
	root.AddCommand(get, &cobra.Command{Use: "ping", Args: NoArgs, Run: func(*cobra.Command, []string) {}})
	return root
}

func TestRun(t *testing.T) {
	for args, test := range map[string]struct {
		status   int
		out, err string // what they contain
	}{
		"get --from=x key":             {0, "key\n", ""},
		"--version":                    {0, "tool version 1.0", ""},
		"":                             {0, "Available Commands", ""},
		"--help":                       {0, "Available Commands", ""},
		"get --help":                   {0, "tool get KEY", ""},
		"help get":                     {0, "tool get KEY", ""},
		"completion bash":              {0, "bash completion", ""},
		"get --from=x none":            {1, "", "tool: no key none\n"},
		"get --from=x three":           {3, "", ""},
		"get --from=x late":            {2, "", "tool: late is no key\n"},
		"get --from=x":                 {2, "", "accepts 1 arg(s), received 0"},
		"get key":                      {2, "", `required flag(s) "from" not set`},
		"get --from=x --all --one key": {2, "", "none of the others can be"},
		"get --to=x key":               {2, "", "unknown flag: --to"},
		"--to=x":                       {2, "", "unknown flag: --to"},
		"pign":                         {2, "", `unknown command "pign"; did you mean ping?; tool --help`},
		"x":                            {2, "", `unknown command "x"; tool --help lists the commands`},
		"ping x":                       {2, "", `unexpected argument "x": tool ping takes none`},
		"help":                         {0, "Available Commands", ""},
		"help pign":                    {2, "", `unknown command "pign"; did you mean ping?; tool --help`},
		"help get key":                 {2, "", `unknown command "key"; tool get --help`},
		"completion":                   {0, "Available Commands", ""},
		"completion basch":             {2, "", `unknown command "basch"; did you mean bash?; tool completion --help`},
		"completion bash zsh":          {2, "", `unknown command "zsh" for "tool completion bash"`},
		"__complete ge":                {0, "get\n", "Completion ended"},
		"__complete completion z":      {0, "zsh\t", "Completion ended"},
		"__complete help pi":           {0, "ping\n", "Completion ended"},
	} {
		t.Run(args, func(t *testing.T) {
			var out, err strings.Builder
			status := Run(t.Context(), tool(), strings.Fields(args), Streams{strings.NewReader(""), &out, &err})
			if status != test.status || !strings.Contains(out.String(), test.out) || !strings.Contains(err.String(), test.err) ||
				(test.err == "") != (err.String() == "") {
				t.Errorf("status %d, out %q, err %q", status, out.String(), err.String())
			}
		})
	}
}

func TestMisuseFails(t *testing.T) {
	command := tool()
	command.Annotations = map[string]string{MisuseFails: "yes"}
	var out, err strings.Builder
	if status := Run(t.Context(), command, []string{"get"}, Streams{nil, &out, &err}); status != exit.Failure {
		t.Errorf("status %d", status)
	}
}

func TestContextReachesTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	command := &cobra.Command{Use: "wait", RunE: func(command *cobra.Command, _ []string) error {
		<-command.Context().Done()
		return context.Cause(command.Context())
	}}
	var out, err strings.Builder
	if status := Run(ctx, command, nil, Streams{nil, &out, &err}); status != exit.Failure || err.String() != "wait: stopped\n" {
		t.Errorf("status %d, err %q", status, err.String())
	}
}

// alone is a command without commands below it.
func alone() *cobra.Command {
	return &cobra.Command{Use: "alone", Args: NoArgs, RunE: func(command *cobra.Command, _ []string) error {
		text, err := io.ReadAll(command.InOrStdin())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(command.OutOrStdout(), "read %q\n", text)
		return err
	}}
}

func TestRunAlone(t *testing.T) {
	for args, test := range map[string]struct {
		status   int
		out, err string // what they contain
	}{
		"":                      {0, `read "text"`, ""},
		"help":                  {2, "", `unexpected argument "help"`},
		"completion zsh":        {0, "#compdef alone", ""},
		"completion zhs":        {2, "", `unknown command "zhs"; did you mean zsh?`},
		"__complete completion": {0, "", "Completion ended"},
	} {
		var out, err strings.Builder
		status := Run(t.Context(), alone(), strings.Fields(args), Streams{strings.NewReader("text"), &out, &err})
		if status != test.status || !strings.Contains(out.String(), test.out) || !strings.Contains(err.String(), test.err) {
			t.Errorf("%s: status %d, out %q, err %q", args, status, out.String(), err.String())
		}
	}
}

// TestInputEndsWithTheContext interrupts a command that reads a terminal.
func TestInputEndsWithTheContext(t *testing.T) {
	in, typist := io.Pipe()
	defer func() { _ = typist.Close() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		_, _ = typist.Write([]byte("text"))
		cancel(errors.New("interrupted"))
	}()
	var out, err strings.Builder
	if status := Run(ctx, alone(), nil, Streams{in, &out, &err}); status != exit.Failure || err.String() != "alone: interrupted\n" {
		t.Errorf("status %d, out %q, err %q", status, out.String(), err.String())
	}
}

// TestSecrets runs a command, in a process of its own, that knows a password.
func TestSecrets(t *testing.T) {
	const address = "http://user:s3cret@example.com/?token=s3cret"
	if os.Getenv("PROGRAM_TEST") != "" {
		Main(&cobra.Command{Use: "talks", RunE: func(*cobra.Command, []string) error {
			slog.Warn("it goes on", "server", address, "error", fmt.Errorf("get %q: EOF", address))
			log.Print(address)
			return fmt.Errorf("get %s: EOF", address)
		}}, nil)
	}
	process := exec.Command(os.Args[0], "-test.run=^TestSecrets$")
	process.Env = append(os.Environ(), "PROGRAM_TEST=1")
	out, _ := process.CombinedOutput()
	if strings.Contains(string(out), "s3cret") || strings.Count(string(out), "http://xxxxx@example.com/?xxxxx") != 4 {
		t.Errorf("it prints\n%s", out)
	}
}

// TestSecondSignal runs a command, in a process of its own, that does not look at its context.
func TestSecondSignal(t *testing.T) {
	if os.Getenv("PROGRAM_TEST") != "" {
		Main(&cobra.Command{Use: "deaf", Run: func(command *cobra.Command, _ []string) {
			fmt.Println("begun")
			<-command.Context().Done()
			fmt.Println("interrupted")
			<-time.After(time.Hour)
		}}, nil)
	}
	process := exec.Command(os.Args[0], "-test.run=^TestSecondSignal$")
	process.Env = append(os.Environ(), "PROGRAM_TEST=1")
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"begun", "interrupted"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it prints %q, want %q", lines.Text(), want)
		}
		if err := process.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	limit := time.After(time.Minute)
	for {
		select {
		case err := <-ended:
			if status := process.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("it ends with %v", err)
			}
			return
		case <-time.After(10 * time.Millisecond): // the second signal may come too early
			_ = process.Process.Signal(syscall.SIGTERM)
		case <-limit:
			t.Error("it goes on")
			_ = process.Process.Kill()
			limit = nil
		}
	}
}
