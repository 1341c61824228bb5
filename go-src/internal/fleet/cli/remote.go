package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/sshclient"
	"coreos/internal/host/hostid"
)

func (a *app) sshFlags(command *cobra.Command) {
	command.Flags().IntVar(&a.sshPort, "ssh-port", 22, "TCP `PORT` of SSH on the machines")
}

func (a *app) statusCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "status UNIT...",
		Short: "Print the output of systemctl status for units, on their machines",
		Long: "Runs systemctl status on the machine of each unit, locally or over SSH; for a global unit on each of\n" +
			"its machines. The exit status is that of systemctl.",
		ValidArgsFunction: a.completeUnits,
		RunE: a.on(func(ctx context.Context, args []string) error {
			var last error
			for i, arg := range args {
				if i > 0 {
					a.say("") // as systemctl does
				}
				last = a.worse(last, a.status(ctx, unitName(arg)))
			}
			return last
		}),
	}
	a.sshFlags(command)
	return command
}

// status prints the status of one unit, on all of its machines.
func (a *app) status(ctx context.Context, name string) error {
	u, err := a.unit(ctx, name)
	if err != nil {
		return err
	}
	machines, err := a.machinesOf(ctx, u)
	if err != nil {
		return err
	}
	var last error
	for _, id := range machines {
		last = a.worse(last, a.run(ctx, id, []string{"systemctl", "status", "-l", u.Name}))
	}
	return last
}

// worse returns the error with which a command ends that goes on after errors: the first exit status
// of systemctl, or 1 if something else has failed. It prints errors that are no exit status.
func (a *app) worse(before, err error) error {
	var status exit.Status
	switch {
	case err == nil:
		return before
	case !errors.As(err, &status):
		a.warn("%s", sentence(err))
		return exit.Status(exit.Failure)
	case before != nil:
		return before
	}
	return status
}

func (a *app) journalCommand() *cobra.Command {
	lines, follow, sudo, output := 10, false, false, "short"
	command := &cobra.Command{
		Use:   "journal UNIT",
		Short: "Print the journal of a unit, from its machine",
		Long: "Runs journalctl on the machine of the unit, locally or over SSH. A global unit has more than one\n" +
			"machine, and is an error.",
		ValidArgsFunction: a.completeUnits,
		RunE: a.on(func(ctx context.Context, args []string) error {
			u, err := a.oneUnit(ctx, args)
			if err != nil {
				return err
			}
			if global(u) {
				return fmt.Errorf("unable to retrieve journal of global unit %s: it runs on more than one machine", u.Name)
			}
			words := []string{"journalctl", "--unit", u.Name, "--no-pager", "-n", strconv.Itoa(lines), "--output", output}
			if sudo {
				words = append([]string{"sudo"}, words...)
			}
			if follow {
				words = append(words, "-f")
			}
			return a.onMachinesOf(ctx, u, words...)
		}),
	}
	f := command.Flags()
	f.IntVar(&lines, "lines", lines, "number of lines, from the end")
	f.BoolVarP(&follow, "follow", "f", false, "print new lines as they come")
	f.BoolVar(&sudo, "sudo", false, "run journalctl with sudo")
	f.StringVar(&output, "output", output, "journalctl's output `MODE`")
	a.sshFlags(command)
	return command
}

// onMachinesOf runs a command on the machine of a unit, or on all machines of a global unit until it
// fails on one.
func (a *app) onMachinesOf(ctx context.Context, u schema.Unit, words ...string) error {
	machines, err := a.machinesOf(ctx, u)
	if err != nil {
		return err
	}
	for _, id := range machines {
		if err := a.run(ctx, id, words); err != nil {
			return err
		}
	}
	return nil
}

// machinesOf returns the ID of the machine of a unit, or of all machines of a global unit.
func (a *app) machinesOf(ctx context.Context, u schema.Unit) (ids []string, err error) {
	if !global(u) {
		if u.CurrentState == schema.Inactive || u.MachineID == "" {
			return nil, fmt.Errorf("unit %s does not appear to be loaded on a machine", u.Name)
		}
		return []string{u.MachineID}, nil
	}
	states, err := a.client.StatesOf(ctx, u.Name)
	for _, s := range states {
		ids = append(ids, s.MachineID)
	}
	return ids, err
}

// run runs a command on a machine: on this one without SSH.
func (a *app) run(ctx context.Context, machineID string, words []string) error {
	if id, err := hostid.Machine(); err == nil && id == machineID {
		command := exec.CommandContext(ctx, words[0], words[1:]...)
		command.Stdout, command.Stderr = a.Out, a.Err
		err := command.Run()
		var failed *exec.ExitError
		if errors.As(err, &failed) && failed.ExitCode() > 0 {
			return exit.Status(failed.ExitCode())
		}
		return err
	}
	a.loadMachines(ctx)
	m := a.machine(machineID)
	if m.PrimaryIP == "" {
		return fmt.Errorf("machine %s is not in the cluster, or has reported no address", machineID)
	}
	return a.remote(ctx, m.PrimaryIP, sshclient.Quote(words...), false)
}

// remote runs a command, or a shell, on a host.
func (a *app) remote(ctx context.Context, host, command string, forward bool) error {
	if a.sshPort != 22 {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(a.sshPort))
	}
	config := a.sshConfig()
	var through *sshclient.Client
	if a.flags.tunnel != "" {
		var err error
		if through, err = config.Dial(ctx, a.flags.tunnel, nil); err != nil {
			return err
		}
		defer through.Close()
	}
	client, err := config.Dial(ctx, host, through)
	if err != nil {
		return err
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	status, err := client.Run(command, a.Streams, forward)
	if err == nil && status != 0 {
		return exit.Status(status)
	}
	return err
}

func (a *app) sshCommand() *cobra.Command {
	machine, unit, forward := "", "", false
	command := &cobra.Command{
		Use:   "ssh {MACHINE|UNIT} [-- COMMAND...]",
		Short: "Open a shell on a machine, or on that of a unit, or run a command there",
		Long: "The argument is the ID of a machine, the beginning of an ID, or a unit that is on the machine.\n\n" +
			"    fleetctl --tunnel 192.0.2.10 ssh web@1.service -- docker ps",
		ValidArgsFunction: a.completeUnits,
		RunE: a.on(func(ctx context.Context, args []string) (err error) {
			var m schema.Machine
			switch {
			case machine != "" && unit != "":
				return exit.Usage(errors.New("--machine and --unit cannot be used together"))
			case machine != "":
				m, err = a.findMachine(ctx, machine)
			case unit != "":
				m, err = a.machineOf(ctx, unit)
			case len(args) == 0:
				return errors.New("one machine or unit must be provided")
			default:
				m, err = a.lookUp(ctx, args[0])
				args = args[1:]
			}
			if err != nil {
				return err
			}
			if m.PrimaryIP == "" {
				return fmt.Errorf("machine %s has reported no address", m.ID)
			}
			return a.remote(ctx, m.PrimaryIP, strings.Join(args, " "), forward)
		}),
	}
	f := command.Flags()
	f.StringVar(&machine, "machine", "", "`ID` of the machine, or the beginning of it")
	f.StringVar(&unit, "unit", "", "the machine of this unit")
	f.BoolVarP(&forward, "forward-agent", "A", false, "let programs there use the local ssh-agent")
	a.sshFlags(command)
	return command
}

// machineOf returns the machine that has a unit.
func (a *app) machineOf(ctx context.Context, arg string) (schema.Machine, error) {
	u, err := a.unit(ctx, unitName(arg))
	switch {
	case err != nil:
		return schema.Machine{}, err
	case global(u):
		return schema.Machine{}, fmt.Errorf("unit %s is global: it runs on more than one machine", u.Name)
	case u.MachineID == "":
		return schema.Machine{}, fmt.Errorf("unit %s is on no machine", u.Name)
	}
	return a.findMachine(ctx, u.MachineID)
}

// lookUp finds a machine by its ID or by a unit that it has.
func (a *app) lookUp(ctx context.Context, arg string) (schema.Machine, error) {
	byID, noMachine := a.findMachine(ctx, arg)
	byUnit, noUnit := a.machineOf(ctx, arg)
	switch {
	case noMachine == nil && noUnit == nil:
		return byID, fmt.Errorf("there are a machine and a unit %s: use --machine or --unit", arg)
	case noMachine == nil:
		return byID, nil
	case noUnit == nil:
		return byUnit, nil
	}
	return byID, fmt.Errorf("no machine for %s: %w; %w", arg, noMachine, noUnit)
}
