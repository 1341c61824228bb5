package machine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"coreos/internal/boot/slot"
	"coreos/internal/host/disk"
)

// diskName is the name of the machines' disk, as in QEMU.
const diskName = "vda"

// partitions are the machine's partitions, by the names of their devices. The running slot
// is A; B has the same system.
func (l *Lab) partitions(efi *loop) map[string]*loop {
	return map[string]*loop{diskName + "1": efi, diskName + "3": l.boot, diskName + "4": l.usr, diskName + "5": l.boot, diskName + "6": l.usr}
}

// labels are those of the partitions.
var labels = map[string]string{
	diskName + "1": disk.EFISystemLabel,
	diskName + "3": slot.A.BootLabel(), diskName + "4": slot.A.UsrLabel(),
	diskName + "5": slot.B.BootLabel(), diskName + "6": slot.B.UsrLabel(),
}

// handOver writes the files with which firmware, kernel and hypervisor would describe the
// machine. Its init puts them in place.
func (h *native) handOver(first bool) error {
	dir := h.given()
	sys := filepath.Join(dir, "sys")
	if err := os.RemoveAll(sys); err != nil {
		return err
	}
	vendor := h.config.Vendor
	if vendor == "" {
		vendor = "QEMU"
	}
	files := map[string]string{
		"cmdline":                     "console=ttyS0\n",
		"boot":                        fmt.Sprintf("SLOT=%s\nDISK=%s\n", slot.A, diskName),
		"sys/class/dmi/id/sys_vendor": vendor + "\n",
	}
	for name, label := range labels {
		files[filepath.Join("sys/block", diskName, name, "uevent")] = fmt.Sprintf("DEVNAME=%s\nDEVTYPE=partition\nPARTNAME=%s\n", name, label)
	}
	if first {
		files["first-boot"] = ""
	} else if err := os.RemoveAll(filepath.Join(dir, "first-boot")); err != nil {
		return err
	}
	for name, path := range map[string]string{"cloud-config": h.config.CloudConfig, "config": h.config.Ignition} {
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		firmware := filepath.Join("sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos", name)
		files[filepath.Join(firmware, "raw")], files[filepath.Join(firmware, "size")] = string(text), fmt.Sprintln(len(text))
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// relayMetadata has the host answer at link-local addresses.
func (h *native) relayMetadata() error {
	for at, server := range h.config.Metadata {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			return err
		}
		if err := ip("address replace " + host + "/32 dev " + userBridge); err != nil {
			return err
		}
		listener, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		h.relays = append(h.relays, listener)
		go relay(listener, server)
	}
	return nil
}

// relay passes connections on to a server until the listener is closed.
func relay(listener net.Listener, server string) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = from.Close() }()
			to, err := net.Dial("tcp", server)
			if err != nil {
				return
			}
			defer func() { _ = to.Close() }()
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(from, to)
		}()
	}
}
