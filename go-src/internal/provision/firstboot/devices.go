package firstboot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"coreos/internal/host/capture"
	"coreos/internal/provision/deviceunits"
)

// Files with the name servers that systemd-networkd has learned, and the target of
// /etc/resolv.conf on this system.
const (
	networkState = "/run/systemd/netif/state"
	resolvedDir  = "/run/systemd/resolve"
	resolvConf   = resolvedDir + "/stub-resolv.conf"
)

// noArrays replaces the rules that assemble RAID arrays.
const noArrays = "/run/udev/rules.d/64-md-raid-assembly.rules"

// networkWait is the time limit for the network to come up.
const networkWait = 2 * time.Minute

// startDevices starts udev, which loads drivers and creates the names of devices, until
// stop.
func (f *FirstBoot) startDevices(ctx context.Context) (stop func(), err error) {
	// An array that is on the disks, from an earlier attempt or an earlier use, would keep
	// them busy.
	if err := errors.Join(os.MkdirAll(filepath.Dir(noArrays), 0o755), symlink("/dev/null", noArrays)); err != nil {
		return nil, err
	}
	daemon := exec.CommandContext(ctx, "/usr/lib/systemd/systemd-udevd", "--daemon")
	daemon.Env = environment
	if out, err := daemon.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("start udev: %w: %s", err, bytes.TrimSpace(out))
	}
	stop = func() {
		if err := errors.Join(f.tool(ctx, "udevadm", "control", "--exit"), os.Remove(noArrays)); err != nil {
			f.Log.Warning("%v", err)
		}
	}
	for _, args := range [][]string{
		{"trigger", "--type=subsystems", "--action=add"},
		{"trigger", "--type=devices", "--action=add"},
		{"settle", "--timeout=60"},
	} {
		if err := f.tool(ctx, "udevadm", args...); err != nil {
			f.Log.Warning("%v", err)
		}
	}
	return stop, nil
}

// deviceWait is the time limit for a device of the config to appear, as in systemd.
const deviceWait = 90 * time.Second

// answerForSystemd answers Ignition in the place of systemd when it waits for devices,
// until stop.
func (f *FirstBoot) answerForSystemd(ctx context.Context) (stop func(), err error) {
	about, err := command(ctx, "systemctl", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("systemctl --version: %w", err)
	}
	version := strings.Fields(string(about) + " - -")[1]
	units := &deviceunits.Server{Version: version, Wait: func(ctx context.Context, path string) error {
		return f.tool(ctx, "udevadm", "wait", fmt.Sprintf("--timeout=%d", int(deviceWait.Seconds())), path)
	}}
	if err := units.Listen(ctx, deviceunits.Socket); err != nil {
		return nil, err
	}
	return func() {
		if err := units.Close(); err != nil {
			f.Log.Warning("%v", err)
		}
	}, nil
}

// startNetwork configures the network as the system does, until stopNetwork.
func (f *FirstBoot) startNetwork(ctx context.Context) error {
	f.Log.Notice("first boot: the config needs the network")
	ctx, cancel := context.WithTimeout(ctx, networkWait)
	defer cancel()
	// systemd would have created both. The machine id identifies the machine in DHCP.
	if err := os.MkdirAll("/run/systemd", 0o755); err != nil {
		return err
	}
	if err := f.tool(ctx, "systemd-machine-id-setup"); err != nil {
		return err
	}
	daemon, err := startNotifying(ctx, "/usr/lib/systemd/systemd-networkd")
	if err != nil {
		return err
	}
	f.stopNetwork = func() {
		daemon.stop()
		// systemd-resolved creates it again, with its own owner.
		_ = os.RemoveAll(resolvedDir)
	}
	wait := exec.CommandContext(ctx, "/usr/lib/systemd/systemd-networkd-wait-online", "--any", fmt.Sprintf("--timeout=%d", int(networkWait.Seconds())))
	wait.Env = environment
	if out, err := wait.CombinedOutput(); err != nil {
		return fmt.Errorf("the network did not come up within %v; is there a DHCP server? %s %s", networkWait, bytes.TrimSpace(out), daemon.output.OneLine())
	}
	if err := writeResolvConf(networkState, resolvConf); err != nil {
		f.Log.Warning("name servers: %v", err)
	}
	return nil
}

// daemon is a program that runs until it is stopped.
type daemon struct {
	command *exec.Cmd
	output  capture.Head
	ended   chan error
}

func (d *daemon) stop() {
	_ = d.command.Process.Signal(syscall.SIGTERM)
	<-d.ended
}

// startNotifying starts a daemon and waits until it reports by sd_notify(3) that it is
// ready.
func startNotifying(ctx context.Context, path string) (*daemon, error) {
	const notify = "@coreos/first-boot"
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	d := &daemon{command: exec.Command(path), output: capture.Head{Limit: 1000}, ended: make(chan error, 1)}
	d.command.Env = append(slices.Clip(environment), "NOTIFY_SOCKET="+notify)
	d.command.Stderr = &d.output
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.ended <- d.command.Wait()
		_ = socket.Close() // there will be no message
	}()
	if deadline, ok := ctx.Deadline(); ok {
		_ = socket.SetReadDeadline(deadline)
	}
	message := make([]byte, 4096)
	for {
		n, err := socket.Read(message)
		if err != nil {
			_ = d.command.Process.Kill()
			return nil, fmt.Errorf("%s did not get ready: %w: %s", path, <-d.ended, d.output.OneLine())
		}
		if slices.Contains(strings.Split(string(message[:n]), "\n"), "READY=1") {
			return d, nil
		}
	}
}

// writeResolvConf writes a resolv.conf(5) with the name servers that systemd-networkd has
// learned.
func writeResolvConf(state, path string) error {
	text, err := os.ReadFile(state)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		for word := range strings.FieldsSeq(value) {
			switch key {
			case "DNS":
				fmt.Fprintf(&out, "nameserver %s\n", word)
			case "DOMAINS":
				fmt.Fprintf(&out, "search %s\n", word)
			}
		}
	}
	if out.Len() == 0 {
		return errors.New("the network has no name servers")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
