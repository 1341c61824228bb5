package firstboot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Where systemd-networkd says what it was told of name servers, and where resolv.conf of
// this system leads.
const (
	networkState = "/run/systemd/netif/state"
	resolvedDir  = "/run/systemd/resolve"
	resolvConf   = resolvedDir + "/stub-resolv.conf"
)

// networkWait is for how long the network may take to come up.
const networkWait = 2 * time.Minute

// startDevices has udev load drivers and make the names of devices, until stop.
func (f *FirstBoot) startDevices(ctx context.Context) (stop func(), err error) {
	daemon := exec.CommandContext(ctx, "/usr/lib/systemd/systemd-udevd", "--daemon")
	daemon.Env = environment
	if out, err := daemon.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("start udev: %w: %s", err, bytes.TrimSpace(out))
	}
	stop = func() {
		if err := f.tool(ctx, "udevadm", "control", "--exit"); err != nil {
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

// startNetwork sets the network up as the system does, until stop.
func (f *FirstBoot) startNetwork(ctx context.Context) (stop func(), err error) {
	f.Log.Notice("first boot: the config needs the network")
	daemon := exec.Command("/usr/lib/systemd/systemd-networkd")
	daemon.Env = append(slices.Clip(environment), "SYSTEMD_LOG_TARGET=kmsg")
	if err := daemon.Start(); err != nil {
		return nil, fmt.Errorf("start systemd-networkd: %w", err)
	}
	stop = func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
		// systemd-resolved makes it anew, as its own.
		_ = os.RemoveAll(resolvedDir)
	}
	ctx, cancel := context.WithTimeout(ctx, networkWait)
	defer cancel()
	wait := exec.CommandContext(ctx, "/usr/lib/systemd/systemd-networkd-wait-online", "--any", fmt.Sprintf("--timeout=%d", int(networkWait.Seconds())))
	if out, err := wait.CombinedOutput(); err != nil {
		stop()
		return nil, fmt.Errorf("the network is not up after %v: is there a DHCP server? %s", networkWait, bytes.TrimSpace(out))
	}
	if err := writeResolvConf(networkState, resolvConf); err != nil {
		f.Log.Warning("name servers: %v", err)
	}
	return stop, nil
}

// writeResolvConf makes a resolv.conf(5) of what systemd-networkd was told.
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
		return errors.New("the network has none")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
