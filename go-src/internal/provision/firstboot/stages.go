package firstboot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"coreos/internal/cli/redact"
	"coreos/internal/host/capture"
)

// environment is the environment of all programs that run here. systemd is not running.
var environment = []string{"PATH=/usr/sbin:/usr/bin", "SYSTEMD_OFFLINE=1"}

// errOtherFormat says that the platform has user-data of another format.
var errOtherFormat = errors.New("the user-data is not an Ignition config: coreos-cloudinit applies it later")

// The device of a config drive, as named by 90-configdrive.rules, and its mount point: those of
// package configdrive, which the initramfs does without, since it links net/http.
const (
	configDrive    = "/dev/disk/config-drive"
	configDriveDir = "/media/configdrive"
)

// command returns a command of the machine's tools, in the environment above.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/usr/bin/"+name, args...)
	if !exists(c.Path) {
		c.Path = "/usr/sbin/" + name
	}
	c.Err = nil // of the look-up in our own PATH
	c.Env = environment
	c.WaitDelay = 10 * time.Second
	return c
}

// tool runs a tool. Its output is in the error.
func (f *FirstBoot) tool(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	out, err := command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %.400s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// stage runs one stage of Ignition.
func (f *FirstBoot) stage(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	c := command(ctx, "ignition", "--platform="+string(f.Platform), "--stage="+name,
		"--root=/", "--log-to-stdout", "--config-cache="+cachedConfig, "--neednet="+needNetwork)
	c.Env = f.environment
	stdout, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	complaint := &capture.Head{Limit: 1000}
	c.Stderr = complaint
	if err := c.Start(); err != nil {
		return err
	}
	last := f.follow(stdout)
	err = c.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("stage %s: not finished after %v", name, stageLimit)
	case last != "":
		return fmt.Errorf("stage %s: %s", name, last)
	}
	// The other output has the whole config, with its secrets.
	text, _, _ := strings.Cut(complaint.OneLine(), "Full config:")
	return fmt.Errorf("stage %s: %w: %s", name, err, text)
}

// follow logs Ignition's messages until it ends, and returns the last error among them, with the
// place in the config if Ignition names one.
func (f *FirstBoot) follow(output io.Reader) (last string) {
	place := ""
	const longest = 64 << 10
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		level, text, _ := strings.Cut(lines.Text(), ": ")
		// Ignition logs each URL of a config as it is.
		text = redact.Text(strings.TrimSpace(text))
		switch strings.TrimSpace(level) {
		case "EMERGENCY", "ALERT", "CRITICAL", "ERROR":
			f.Log.Error("ignition: %s", text)
			last = strings.TrimPrefix(text, "Ignition failed: ")
			if strings.HasPrefix(text, "error at ") && place == "" {
				place = text
			}
		case "WARNING":
			f.Log.Warning("ignition: %s", text)
		case "NOTICE":
			f.Log.Notice("ignition: %s", text)
		case "INFO":
			f.Log.Info("ignition: %s", text)
		}
	}
	_, _ = io.Copy(io.Discard, output) // the rest, after a line that is too long
	if place != "" && last != place {
		last += ": " + place
	}
	return last
}

// isOtherFormat reports whether the platform has user-data that coreos-cloudinit applies,
// or has none, which Ignition reports as an error on some platforms. Azure has two kinds of
// user-data; coreos-cloudinit reads only one of them.
func (f *FirstBoot) isOtherFormat(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	if exists(configDrive) {
		if err := f.tool(ctx, "mount", "-o", "ro,nosuid,nodev,noexec,X-mount.mkdir", configDrive, configDriveDir); err != nil {
			f.Log.Warning("%v", err)
		} else {
			defer func() { _ = f.tool(ctx, "umount", configDriveDir) }()
		}
	}
	kind, err := command(ctx, "coreos-cloudinit", "-oem=auto", "-kind").Output()
	if err != nil {
		f.Log.Info("coreos-cloudinit: %v", err)
		return false
	}
	switch strings.TrimSpace(string(kind)) {
	case "cloud-config", "script":
		return true
	case "empty":
		return f.Platform != "azure"
	case "unknown":
		f.explain(ctx)
	}
	return false
}

// explain says on the console why the user-data of the platform is of no kind, such as a byte
// order mark before #cloud-config.
func (f *FirstBoot) explain(ctx context.Context) {
	out, _ := command(ctx, "coreos-cloudinit", "-oem=auto", "-validate").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ": error: ") {
			f.Log.Error("first boot: %.1000s", strings.TrimSpace(line))
		}
	}
}
