package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	notify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/etcd/conn"
	"coreos/internal/host/hostid"
	"coreos/internal/host/metrics"
	"coreos/internal/reboot/coordinator"
	"coreos/internal/reboot/locksmith"
	"coreos/internal/update/bus"
)

// daemon is locksmithd.
func daemon() *cobra.Command {
	o := new(options)
	command := &cobra.Command{
		Use:   "locksmithd",
		Short: "Restart this machine after updates (run by locksmithd.service)",
		Long: "Restart the machine when update-engine says that an update needs it, and when REBOOT_STRATEGY,\n" +
			"the reboot window and the lock of the machine's group allow it. Each flag has an environment\nvariable: LOCKSMITHD_GROUP is that of --group.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.serve(command.Context()) },
	}
	o.flags(command, "LOCKSMITHD")
	command.AddCommand(o.copyKeysCommand(), privilegedCommand())
	return command
}

func (o *options) serve(ctx context.Context) error {
	if o.debug {
		slog.SetLogLoggerLevel(slog.LevelDebug)
	}
	settings, misconfigured := locksmith.ReadSettings(os.Getenv)
	if settings.Strategy == locksmith.Off && misconfigured == nil {
		slog.Info("REBOOT_STRATEGY=off: nothing restarts this machine after updates")
		_, _ = notify.SdNotify(false, notify.SdNotifyReady) // without it systemd treats the exit as a failure
		return nil
	}
	file, err := coordinator.New(coordinator.Path, "locksmithd", string(settings.Strategy))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if misconfigured != nil {
		return disabled(ctx, file, misconfigured)
	}
	systemBus, err := bus.Connect()
	if err != nil {
		return err
	}
	defer systemBus.Close()
	d, err := o.newDaemon(settings)
	if err != nil {
		return disabled(ctx, file, err)
	}
	host, err := locksmith.NewSystem(ctx, systemBus, settings.HookTimeout, o.etcd.Endpoints[0] != conn.Default)
	if err != nil {
		return err
	}
	for _, path := range o.etcd.Files() {
		*path = copies.Find(*path)
	}
	etcd, lock, err := o.lock()
	if err != nil {
		return disabled(ctx, file, err)
	}
	defer func() { _ = etcd.Close() }()
	var gauges locksmith.Metrics
	presence := lock.NewPresence()
	d.Twice = presence.Twice
	d.Updates, d.Lock, d.Host = bus.NewClient(systemBus).Follow(ctx), lock, host
	d.Tell = func(s locksmith.Status) {
		tell(file, s)
		gauges.Set(s)
		if s.Locked {
			presence.Announce(ctx, d.Machine(s))
		}
	}
	if _, err := metrics.Serve(ctx, settings.Metrics, gauges.Collectors()...); err != nil {
		slog.Error("metrics are not served", "error", err)
	}
	_, _ = notify.SdNotify(false, notify.SdNotifyReady)
	defer presence.End()
	return d.Run(ctx)
}

// disabled waits until the daemon is stopped. A daemon that runs and says what is wrong is
// easier to find than one that fails again and again.
func disabled(ctx context.Context, file *coordinator.Coordinator, err error) error {
	slog.Error("this machine does not restart after updates: correct the configuration and restart locksmithd", "error", err)
	_, _ = notify.SdNotify(false, notify.SdNotifyReady+"\nSTATUS=not restarting the machine: "+err.Error())
	err = file.Set(coordinator.Disabled)
	<-ctx.Done()
	return err
}

func (o *options) newDaemon(settings locksmith.Settings) (*locksmith.Daemon, error) {
	id, err := hostid.Machine()
	boot, errBoot := hostid.Boot()
	host, errHost := os.Hostname()
	return &locksmith.Daemon{
		ID: id, Name: host, BootID: boot, Strategy: settings.Strategy, Window: settings.Window, StealAfter: settings.StealAfter,
		Now: time.Now,
	}, errors.Join(err, errBoot, errHost)
}

// tell writes the status to systemd, for systemctl status, and to coordinator.conf.
func tell(file *coordinator.Coordinator, s locksmith.Status) {
	_, _ = notify.SdNotify(false, "STATUS="+s.Text)
	if err := file.Set(s.State); err != nil {
		slog.Warn("the state cannot be written to coordinator.conf", "error", err)
	}
}
