package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coreos/test/machine"
)

// squashfs are the arguments for mksquashfs of the bundles to compare: RAUC's default,
// what its documentation advises, and what spares the wire more. Blocks of 4k spare it
// half a percent more, for three times the requests.
var squashfs = []string{"", "-b 64k", "-comp zstd -b 16k"}

const (
	raucPackages  = "rauc,squashfs-tools,openssl"
	raucWorkspace = "srv" // in the builder's root tree
	raucData      = "/var/lib/rauc"
	raucTimeout   = 30 * time.Minute
)

// raucConfig is the machine's system.conf. Each slot is a disk.
const raucConfig = `[system]
compatible=bench
bootloader=noop
bundle-formats=verity
data-directory=` + raucData + `
[keyring]
path=/etc/rauc/cert.pem
[slot.rootfs.0]
device=/dev/disk/by-id/virtio-rootfs.0
[slot.rootfs.1]
device=/dev/disk/by-id/virtio-rootfs.1
`

const raucManifest = `[update]
compatible=bench
version=%s
[bundle]
format=verity
[image.rootfs]
filename=rootfs.img
adaptive=block-hash-index
`

// rauc streams the newer version into an empty slot by RAUC in its adaptive mode. RAUC
// needs device-mapper and nbd, so it runs in a machine. If that is emulated, only the bytes
// on the wire compare with the others.
func rauc(t *testing.T, p pair) []cost {
	t.Helper()
	if why := raucMissing(); why != "" {
		fmt.Println("RAUC is not compared:", why)
		return nil
	}
	b := newRaucBuilder(t, p)
	b.bundle("older", b.content("older", p.older), "")
	newer := b.content("newer", p.newer)
	m := startRaucMachine(t, p, b)
	// As in real life, the active slot is one that RAUC wrote, with its hash index.
	m.install("rootfs.1", "older")
	m.run("systemctl stop rauc && cp -a " + raucData + " " + raucData + ".older")
	var costs []cost
	for i, args := range squashfs {
		bundle := fmt.Sprintf("newer%d", i)
		b.bundle(bundle, newer, args)
		c := m.install("rootfs.0", bundle)
		c.name = strings.TrimSpace("RAUC "+args) + ", emulated"
		costs = append(costs, c)
		run(t, "cmp", fmt.Sprintf("--bytes=%d", size(t, b.image(newer))), b.image(newer), m.slots[1])
		m.empty()
	}
	m.off()
	return costs
}

// raucMissing says what this host lacks.
func raucMissing() string {
	for _, tool := range []string{"mmdebstrap", "genimage", "grub-mkimage", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "there is no " + tool
		}
	}
	if os.Geteuid() != 0 {
		return "only root can make its machine"
	}
	return ""
}

// raucBuilder is a Debian root tree with the tools that make bundles.
type raucBuilder struct {
	t    *testing.T
	p    pair
	root string
}

func newRaucBuilder(t *testing.T, p pair) raucBuilder {
	t.Helper()
	b := raucBuilder{t, p, filepath.Join(p.dir, "rauc")}
	run(t, "mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--include="+raucPackages, "trixie", b.root)
	b.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench", "-days", "7", "-keyout", "key.pem", "-out", "cert.pem")
	return b
}

// run runs a program in the tree, with /proc, by which RAUC opens files anew.
func (b raucBuilder) run(args ...string) {
	b.t.Helper()
	run(b.t, "unshare", append([]string{"--mount", "--pid", "--fork", "--mount-proc", "--root=" + b.root, "--wd=/" + raucWorkspace}, args...)...)
}

// path is where a file of the workspace is on the host.
func (b raucBuilder) path(names ...string) string {
	return filepath.Join(append([]string{b.root, raucWorkspace}, names...)...)
}

func (b raucBuilder) image(content string) string { return b.path(content, "rootfs.img") }

// content makes the directory that bundles of a version are made of.
func (b raucBuilder) content(version, images string) string {
	b.t.Helper()
	name := "content-" + version
	must(b.t, os.Mkdir(b.path(name), 0o755))
	must(b.t, os.WriteFile(b.path(name, "manifest.raucm"), fmt.Appendf(nil, raucManifest, version), 0o644))
	must(b.t, os.Rename(joined(b.t, b.p, images, "rootfs.img"), b.image(name)))
	return name
}

func (b raucBuilder) bundle(name, content, squashfs string) {
	b.t.Helper()
	args := []string{"rauc", "bundle", "--cert=cert.pem", "--key=key.pem"}
	if squashfs != "" { // RAUC takes no empty ones
		args = append(args, "--mksquashfs-args="+squashfs)
	}
	b.run(append(args, content, name+".raucb")...)
}

// raucMachine is a stock Debian with RAUC's service and two slots, and the server that
// it gets bundles from.
type raucMachine struct {
	*machine.Machine
	t           *testing.T
	ctx         context.Context
	slots       [2]string
	url         string
	sent, asked atomic.Int64
}

func startRaucMachine(t *testing.T, p pair, b raucBuilder) *raucMachine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), raucTimeout)
	t.Cleanup(cancel)
	m := &raucMachine{t: t, ctx: ctx}
	m.serve(b.path())
	m.start(p, max(size(t, b.image("content-older")), size(t, b.image("content-newer"))))
	cert, err := os.ReadFile(b.path("cert.pem"))
	must(t, err)
	m.write("/etc/rauc/cert.pem", string(cert))
	m.write("/etc/rauc/system.conf", raucConfig)
	m.run("mkdir -p " + raucData)
	// RAUC before 1.15 loses its nbd device when udev is the first to close it.
	m.run("udevadm settle && udevadm control --stop-exec-queue")
	return m
}

// serve serves a directory and counts what leaves it.
func (m *raucMachine) serve(dir string) {
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		files.ServeHTTP(counted{w, &m.sent}, r)
	}))
	m.t.Cleanup(server.Close)
	m.url = strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1)
}

// start switches the machine on, with two empty slots.
func (m *raucMachine) start(p pair, slotSize int64) {
	m.t.Helper()
	stock := filepath.Join(p.dir, "stock.img")
	run(m.t, filepath.Join(os.Getenv("COREOS_TOP"), "go-src/test/bench/stock.sh"), stock, "rauc-service")
	disk, err := machine.NewDisk(p.dir, "rauc", stock, 0)
	must(m.t, err)
	var args []string
	for i := range m.slots {
		m.slots[i] = filepath.Join(p.dir, fmt.Sprintf("rootfs.%d", i))
		must(m.t, os.WriteFile(m.slots[i], nil, 0o644))
		must(m.t, os.Truncate(m.slots[i], slotSize))
		args = append(args, "-drive", fmt.Sprintf("if=none,id=slot%d,format=raw,cache=unsafe,file=%s", i, m.slots[i]),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=slot%d,serial=rootfs.%d", i, i))
	}
	key, err := machine.NewKey()
	must(m.t, err)
	m.Machine, err = machine.Start(p.dir, key, machine.Config{Name: "rauc", Disk: disk, CPUs: 2, MemoryMB: 2048, Args: args})
	must(m.t, err)
	m.t.Cleanup(m.Cut)
}

func (m *raucMachine) off() {
	m.t.Helper()
	m.Disconnect()
	must(m.t, errors.Join(m.PowerButton(), m.WaitOff(m.ctx)))
}

func (m *raucMachine) run(command string) string {
	m.t.Helper()
	out, err := m.Run(m.ctx, command)
	must(m.t, err)
	return out
}

func (m *raucMachine) write(path, text string) {
	m.t.Helper()
	m.run("mkdir -p " + filepath.Dir(path) + " && cat >" + path + " <<'EOF'\n" + text + "EOF")
}

// install installs a bundle as if the machine had booted from the slot.
func (m *raucMachine) install(booted, bundle string) cost {
	m.t.Helper()
	m.write("/run/systemd/system/rauc.service.d/booted.conf", "[Service]\nExecStart=\n"+
		"ExecStart=/usr/bin/rauc --mount=/run/rauc/mnt service --override-boot-slot="+booted+"\n")
	m.run("systemctl daemon-reload && systemctl restart rauc")
	m.sent.Store(0)
	m.asked.Store(0)
	start := time.Now()
	m.run("rauc install " + m.url + "/" + bundle + ".raucb")
	return cost{
		wire: m.sent.Load(), requests: m.asked.Load(), wall: time.Since(start),
		cpu: time.Duration(m.number("systemctl show --property=CPUUsageNSec --value rauc")),
		// This is the memory of the service alone: MemoryPeak also counts the page cache of
		// the slots.
		memory: m.number(`awk '/^VmHWM:/ {print $2}' /proc/"$(systemctl show --property=MainPID --value rauc)"/status`) << 10,
	}
}

// number runs a command that prints one.
func (m *raucMachine) number(command string) int64 {
	m.t.Helper()
	n, err := strconv.ParseInt(m.run(command), 10, 64)
	must(m.t, err)
	return n
}

// empty restores the inactive slot, and makes RAUC forget what it knows of it.
func (m *raucMachine) empty() {
	m.t.Helper()
	m.run("systemctl stop rauc && rm -r " + raucData + " && cp -a " + raucData + ".older " + raucData +
		" && blkdiscard --zeroout /dev/disk/by-id/virtio-rootfs.1")
}
