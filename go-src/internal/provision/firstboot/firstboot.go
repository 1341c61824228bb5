// Package firstboot provisions a machine by Ignition at its first boot: from the verified
// /usr, on the mounted root file system, before systemd starts.
//
// The stages and the program, /usr/bin/ignition, are upstream's. This package does what
// upstream leaves to systemd in an initramfs: it starts the devices, and the network if the
// config needs it, prepares the root file system for files, and links the enabled units.
// See https://coreos.github.io/ignition/operator-notes/.
package firstboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"coreos/internal/host/platform"
)

// Paths on the machine.
const (
	oemConfig = "/oem/config.ign"
	// systemConfigs has a distribution's own configs, below and beside the user's.
	systemConfigs = "/usr/lib/ignition"
	runDir        = "/run/ignition"
	cachedConfig  = "/run/ignition.json"
	needNetwork   = runDir + "/neednet"
	qemuConfig    = "/sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config"
)

// stageLimit is the time limit of a stage. Ignition itself gives up a platform that does
// not answer after 2 minutes, and other sources after the time in the config.
const stageLimit = 10 * time.Minute

// Log takes messages: the important ones are shown on the console, too.
type Log interface {
	Error(format string, args ...any)
	Warning(format string, args ...any)
	Notice(format string, args ...any)
	Info(format string, args ...any)
}

// FirstBoot is an attempt to provision the machine, whose root file system is /.
type FirstBoot struct {
	Cmdline  string // the kernel command line
	Platform platform.ID
	Log      Log

	environment []string
	ofPlatform  bool   // the config is user-data, which may have another format
	stopNetwork func() // nil while the network is down
}

// Run provisions the machine if there may be a config for it. The caller records that
// provisioning is finished. If Run fails, the machine must not continue to boot, since it
// is not as the config describes.
func (f *FirstBoot) Run(ctx context.Context) error {
	if off(f.Cmdline) {
		return nil
	}
	if !f.Platform.IsIgnitions() {
		f.Log.Warning("first boot: Ignition knows no platform %q", f.Platform)
		f.Platform = platform.Metal
	}
	source := f.source()
	if source == "" {
		return nil
	}
	f.Log.Notice("first boot: Ignition takes its config from %s", source)
	if err := f.prepare(); err != nil {
		return err
	}
	stop, err := f.startDevices(ctx)
	if err != nil {
		return err
	}
	defer stop()
	units, err := f.answerForSystemd(ctx)
	if err != nil {
		return err
	}
	defer units()
	err = f.provision(ctx)
	if errors.Is(err, errOtherFormat) {
		f.Log.Notice("first boot: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("first boot: %w: this machine is not provisioned; correct the config, which is fetched again at each attempt", err)
	}
	f.Log.Notice("first boot: Ignition has provisioned the machine")
	// They contain the secrets of the config.
	return errors.Join(os.RemoveAll(runDir), os.Remove(cachedConfig))
}

// off reports whether the operator has disabled Ignition.
func off(cmdline string) bool {
	for arg := range strings.FieldsSeq(cmdline) {
		switch arg {
		case "ignition.firstboot=0", "ignition.firstboot=no", "ignition.firstboot=off":
			return true
		}
	}
	return false
}

// source describes what may have a config, "" if nothing may.
func (f *FirstBoot) source() string {
	url := ""
	for arg := range strings.FieldsSeq(f.Cmdline) {
		if value, ok := strings.CutPrefix(arg, "ignition.config.url="); ok {
			url = value
		}
	}
	if url != "" {
		return url
	}
	if exists(oemConfig) {
		return oemConfig
	}
	switch f.Platform {
	case platform.QEMU:
		if exists(qemuConfig) {
			return "QEMU"
		}
	case platform.Metal:
	default:
		f.ofPlatform = true
		return fmt.Sprintf("the platform %q", f.Platform)
	}
	if entries, err := os.ReadDir(systemConfigs); err == nil && len(entries) > 0 {
		return systemConfigs
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// prepare makes the files that Ignition expects.
func (f *FirstBoot) prepare() error {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return err
	}
	f.environment = environment
	if !exists(oemConfig) {
		return nil
	}
	// The config on the OEM partition counts as the user's; those of the distribution
	// extend it.
	configs := filepath.Join(runDir, "system")
	if err := os.MkdirAll(configs, 0o700); err != nil {
		return err
	}
	for _, dir := range []string{"base.d", "base.platform.d"} {
		if err := symlink(filepath.Join(systemConfigs, dir), filepath.Join(configs, dir)); err != nil {
			return err
		}
	}
	f.environment = append(slices.Clip(environment), "IGNITION_SYSTEM_CONFIG_DIR="+configs)
	return symlink(oemConfig, filepath.Join(configs, "user.ign"))
}

func symlink(target, path string) error {
	if err := os.Symlink(target, path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// provision runs the stages of Ignition.
func (f *FirstBoot) provision(ctx context.Context) error {
	// Files are downloaded when they are written.
	defer func() {
		if f.stopNetwork != nil {
			f.stopNetwork()
		}
	}()
	if err := f.fetch(ctx); err != nil {
		return err
	}
	config, err := readConfig(cachedConfig)
	if err != nil {
		return err
	}
	if err := config.checkKernelArguments(); err != nil {
		return err
	}
	if err := f.stage(ctx, "disks"); err != nil {
		return err
	}
	err = f.files(ctx, config)
	if unmount := f.stage(ctx, "umount"); err == nil {
		err = unmount
	}
	return err
}

// fetch runs the stages that fetch the config.
func (f *FirstBoot) fetch(ctx context.Context) error {
	err := f.stage(ctx, "fetch-offline")
	if err == nil && exists(needNetwork) {
		if err = f.startNetwork(ctx); err == nil {
			err = f.stage(ctx, "fetch")
		}
	}
	if err != nil && f.ofPlatform && f.isOtherFormat(ctx) {
		return errOtherFormat
	}
	return err
}

// files writes files, users and units to the file systems of the config.
func (f *FirstBoot) files(ctx context.Context, c *config) error {
	if err := f.stage(ctx, "mount"); err != nil {
		return err
	}
	// systemd-tmpfiles makes these directories later in the boot. A file in a home
	// directory or on a new /var needs them now.
	tmpfiles := []string{"--create", "--prefix=/home", "--prefix=/root", "--prefix=/var", "--prefix=/opt"}
	if err := f.tool(ctx, "systemd-tmpfiles", tmpfiles...); err != nil {
		f.Log.Warning("%v", err)
	}
	if err := f.yield(c, "/"); err != nil {
		return err
	}
	if err := f.removeUsers(ctx, c); err != nil {
		return err
	}
	if err := f.stage(ctx, "files"); err != nil {
		return err
	}
	if err := f.keepRemoved(c, "/"); err != nil {
		return err
	}
	return f.preset(ctx)
}

// checkKernelArguments refuses a config with kernel arguments, before anything is changed.
func (c *config) checkKernelArguments() error {
	if a := c.KernelArguments; len(a.ShouldExist)+len(a.ShouldNotExist) > 0 {
		return errors.New("kernelArguments: the kernel command line is signed with the system and cannot be changed by a config; remove them")
	}
	return nil
}
