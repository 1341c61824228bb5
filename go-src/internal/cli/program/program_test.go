package program

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

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
