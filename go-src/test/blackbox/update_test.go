package blackbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"coreos/internal/boot/slot"
	"coreos/internal/update/omaha"
	"coreos/internal/update/omaha/omahatest"
	"coreos/internal/update/payload"
	"coreos/internal/update/repository"
	"coreos/test/machine"
	"coreos/test/suite"
	"coreos/test/surface"
)

// The versions of the tests: a good one, and one whose health check fails.
const (
	goodVersion = "9998.0.0"
	badVersion  = "9999.0.0"
	board       = "amd64-usr"
)

func init() {
	suite.Register(suite.Test{
		Name: "update", Needs: suite.Build, Machines: 1, Limit: 12 * time.Minute,
		Does: "an update is fetched in part, installed, booted, proven; a bad one is rolled back; the server hears of both",
		Run:  update,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "update-bundle", Needs: suite.Build, Machines: 1, Limit: 6 * time.Minute,
		Does: "a bundle is applied without a server; a changed one is refused",
		Run:  updateBundle,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "update-bundle-1", Needs: suite.Build, Machines: 1, Limit: 6 * time.Minute,
		Does: "a bundle of format 1, which systems up to 4891.0.0 read, is applied without a server",
		Run:  updateFirstFormat,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "update-kexec", Needs: suite.Build, Machines: 1, Limit: 8 * time.Minute,
		Does: "an update is activated by kexec, or through the firmware by a kernel that does not know the signature",
		Run:  updateKexec,
	})
	suite.Register(suite.Test{
		Suite: suite.Smoke, Name: "update-set-aside", Needs: suite.Build, Machines: 1, Limit: 8 * time.Minute,
		Does: "the old slot comes up after an update: by GRUB, which ends in one restart, and by slotctl, which is no failure",
		Run:  updateSetAside,
	})
	registerSeeds(2, 200, updateCut, suite.Test{
		Name: "update-cut", Needs: suite.Build, Machines: 1, Limit: 6 * time.Minute,
		Does: "power cut at a random moment of an update: the machine comes up, and the update completes",
	})
}

// packing packs the versions fast: nobody else downloads them.
var packing = repository.Packing{Patches: repository.Patches, Effort: payload.Fast}

// releases returns a repository with the test's versions.
func releases(t *suite.T) string {
	t.Helper()
	return t.Shared("repository", func(dir string) {
		t.Must(os.MkdirAll(dir, 0o755))
		// There is a patch from the running version to the good one, and one from that to the bad
		// one.
		running := repository.Images{Boot: t.Env.ImageFile("coreos_production_boot.img"), Usr: t.Env.ImageFile("coreos_production_usr.img")}
		t.Must(repository.Open(dir).Pack(t.Context, filepath.Join(keyDir(t), "update"), board, "stable", running, packing, io.Discard))
		v := newNewerVariant(t)
		v.append("usr/share/coreos/etc/issue", "of the good version\n")
		v.publish(dir, goodVersion)
		check := "usr/lib/coreos/health.d/90-shop"
		v.append(check, "#!/bin/sh\nexit 1\n")
		t.Must(os.Chmod(filepath.Join(v.tree, check), 0o755))
		v.publish(dir, badVersion)
		t.Must(os.RemoveAll(v.tree))
	})
}

// publish builds the variant and puts it into a repository, with a bundle beside it.
func (v *variant) publish(dir, version string) {
	v.t.Helper()
	v.build(version)
	bundle, err := os.Create(filepath.Join(dir, version+".bundle"))
	v.t.Must(err)
	images := repository.Images{Boot: v.image("boot"), Usr: v.image("usr")}
	v.t.Must(repository.Open(dir).Pack(v.t.Context, filepath.Join(keyDir(v.t), "update"), board, "stable", images, packing, bundle))
	v.t.Must(bundle.Close())
	for _, content := range []string{"boot", "usr"} {
		v.t.Must(os.Rename(v.image(content), filepath.Join(dir, version+"."+content)))
	}
}

// updates is an update server with a repository.
type updates struct {
	omahatest.Server
	t    *suite.T
	http *httptest.Server
	sent atomic.Int64 // bytes of the repository's files
	asks atomic.Int64 // requests for them
}

func newUpdates(t *suite.T) *updates {
	u := &updates{t: t}
	files := http.FileServer(http.Dir(releases(t)))
	mux := http.NewServeMux()
	mux.Handle("/v1/update/", omaha.Handler(u))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		u.asks.Add(1)
		files.ServeHTTP(counted{w, &u.sent}, r)
	})
	u.http = httptest.NewServer(mux)
	t.Cleanup(u.http.Close)
	return u
}

type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// ReadFrom keeps the server from sending a file past the count.
func (c counted) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// url is the server's address as machines see it.
func (u *updates) url() string {
	return "http://10.0.2.2" + u.http.URL[strings.LastIndex(u.http.URL, ":"):]
}

func (u *updates) offer(version string) { u.Offer(version, u.url()) }

// configure tells the machine about the server.
func (u *updates) configure(m *machine.Machine) {
	u.t.Helper()
	// Only root can read the file, as one with a password in it: update-engine gets a copy.
	u.t.Run(m, fmt.Sprintf("(umask 077; printf 'SERVER=%s/v1/update/\\nREBOOT_STRATEGY=off\\n' >/etc/coreos/update.conf) && systemctl restart update-engine locksmithd && sync", u.url()))
}

func (u *updates) wantEvents(want ...string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context, u.t.Scaled(time.Minute))
	defer cancel()
	if got := omahatest.Words(u.Wait(ctx, len(want))); !slices.Equal(got, want) {
		u.t.Errorf("the server got %q, want %q", got, want)
	}
}

func operation(t *suite.T, m *machine.Machine) string {
	t.Helper()
	return t.Run(m, "update_engine_client -status | sed -n 's/^CURRENT_OP=//p'")
}

func update(t *suite.T) {
	u := newUpdates(t)
	m := running(t)
	u.configure(m)
	t.Run(m, "useradd keeper && sync") // an /etc/passwd of its own, which lacks what a newer system adds
	u.offer(goodVersion)
	start := time.Now()
	t.Run(m, "update_engine_client -update")
	t.Logf("update: %d bytes in %d requests, %.1f s, CPU and memory of update-engine: %s", u.sent.Load(), u.asks.Load(), time.Since(start).Seconds(),
		strings.ReplaceAll(t.Run(m, "systemctl show update-engine -p CPUUsageNSec; grep VmHWM /proc/$(systemctl show update-engine -p MainPID --value)/status"), "\n", " "))
	wantMemoryOfFirst(t, m)
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_UPDATED_NEED_REBOOT")
	u.wantEvents("started success "+goodVersion, "finished success "+goodVersion, "complete success "+goodVersion)
	// The size of the download depends on what is new in another build; NEWER may be packed in
	// another way.
	if whole := payloadSize(t, goodVersion); newerImages() == "" && u.sent.Load() > whole/4 {
		t.Errorf("%d bytes were fetched, the whole release has %d", u.sent.Load(), whole)
	}

	reboot(t, m)
	wantSlots(t, m, "B", slotState{Tries: 3, OK: true})
	t.Equal("version", t.Run(m, ". /etc/os-release && echo $VERSION_ID"), goodVersion)
	// /etc/coreos/update.conf was changed over the other /usr: its origin is not looked up in this one.
	t.Equal("errors of EROFS", t.Run(m, "journalctl --dmesg --boot --quiet --output=cat --priority=err --grep=erofs || true"), "")
	t.Run(m, "systemctl start update-engine") // waits for what became of the update
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_IDLE")
	u.wantEvents("complete rebooted " + goodVersion)

	u.offer(badVersion)
	t.Run(m, "update_engine_client -update")
	wantMemory(t, m)
	u.Events()
	before := m.Console.Mark()
	t.Must(m.Reboot(t.Context))
	t.ShowsAfter(m, before, "CoreOS "+goodVersion+", slot B")
	healthy(t, m)
	wantSlots(t, m, "B", slotState{Tries: 3, OK: true})
	t.Run(m, "systemctl start update-engine")
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_IDLE")
	u.wantEvents("complete error " + badVersion + " unhealthy:90-shop")
	if status := t.Run(m, "update_engine_client -status"); !strings.Contains(status, "REFUSED_VERSION="+badVersion+" unhealthy:90-shop") {
		t.Errorf("the status does not name the refused version:\n%s", status)
	}
}

// wantMemoryOfFirst is wantMemory after the first update of a machine. With NEWER= an older image
// has made it, whose daemon is not held to the limit.
func wantMemoryOfFirst(t *suite.T, m *machine.Machine) {
	t.Helper()
	if newerImages() == "" {
		wantMemory(t, m)
	}
}

// wantMemory checks what update-engine has taken at most, with the page cache of what it read
// and wrote.
func wantMemory(t *suite.T, m *machine.Machine) {
	t.Helper()
	const most = 64 << 20
	peak, err := strconv.ParseInt(t.Run(m, "systemctl show update-engine -p MemoryPeak --value"), 10, 64)
	t.Must(err)
	t.Logf("update-engine took %.1f MB at most", float64(peak)/1e6)
	if peak > most {
		t.Errorf("update-engine took %d bytes of memory, want at most %d", peak, most)
	}
}

// payloadSize is the size of a whole release.
func payloadSize(t *suite.T, version string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(releases(t), version+".bundle"))
	t.Must(err)
	return info.Size()
}

func updateBundle(t *suite.T) {
	m := withBundle(t, goodVersion+".bundle")
	// Most of the last member, the payload of /usr, but not its end, which is an index.
	t.Run(m, "cp /root/update.bundle /root/bad.bundle && dd if=/dev/zero of=/root/bad.bundle bs=1M seek=20 count=$(($(stat -c %s /root/bad.bundle) / 1048576 - 24)) conv=notrunc")
	if message := t.Fails(m, "update_engine_client --apply /root/bad.bundle"); !strings.Contains(message, "not the bytes of the release") {
		t.Errorf("a changed bundle: %s", message)
	}
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	apply(t, m)
}

func updateFirstFormat(t *suite.T) {
	name := goodVersion + ".format-1.bundle"
	bundle, err := os.Create(filepath.Join(releases(t), name))
	t.Must(err)
	t.Must(repository.Open(releases(t)).WriteBundle(t.Context, bundle, board, goodVersion, repository.PayloadBundle))
	t.Must(bundle.Close())
	apply(t, withBundle(t, name))
}

// withBundle returns a machine with the bundle name in /root/update.bundle, and without an
// update server.
func withBundle(t *suite.T, name string) *machine.Machine {
	t.Helper()
	u := newUpdates(t)
	m := running(t)
	t.Run(m, fmt.Sprintf("curl -fsS -o /root/update.bundle %s/%s", u.url(), name))
	u.http.Close()
	t.Run(m, "echo REBOOT_STRATEGY=off >/etc/coreos/update.conf && systemctl restart update-engine locksmithd")
	return m
}

// apply installs the machine's bundle, and checks what the disk holds after a power cut.
func apply(t *suite.T, m *machine.Machine) {
	t.Helper()
	t.Run(m, "cd /root && update_engine_client --apply update.bundle")
	wantMemoryOfFirst(t, m)
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_UPDATED_NEED_REBOOT")
	t.Run(m, "sync")
	m.Cut()
	wantInstalled(t, m.Config.Disk)
}

func updateKexec(t *suite.T) {
	u := newUpdates(t)
	m := running(t)
	t.Run(m, "ln -s /dev/null /etc/sysctl.d/50-kexec.conf && sync")
	reboot(t, m)
	t.Run(m, fmt.Sprintf("printf 'SERVER=%s/v1/update/\\nACTIVATION=kexec\\n' >/etc/coreos/update.conf && systemctl restart update-engine", u.url()))
	u.offer(goodVersion)
	// Debian's kernel has the key of its modules in itself, but not the one of its kernels.
	knowsKey := baseOf(t, m) == surface.Release
	before := m.Console.Mark()
	t.Run(m, "update_engine_client -check_for_update")
	m.Restarts()
	if knowsKey {
		t.ShowsAfter(m, before, `kexec_core: Starting new kernel(?s:.*)bootengine: slot B on disk`)
	} else {
		t.ShowsAfter(m, before, `kexec of unsigned images is restricted(?s:.*)bootengine: slot B on disk`)
	}
	healthy(t, m)
	if text := m.Console.Text(before); strings.Contains(text, "CoreOS "+goodVersion+", slot B") == knowsKey {
		t.Errorf("GRUB booted the machine: %v\n%s", !knowsKey, text)
	}
	wantSlots(t, m, "B", slotState{Tries: 3, OK: true})
	t.Equal("version", t.Run(m, ". /etc/os-release && echo $VERSION_ID"), goodVersion)
	u.wantEvents("started success "+goodVersion, "finished success "+goodVersion, "complete success "+goodVersion, "complete rebooted "+goodVersion)
}

// updateSetAside has GRUB start the old slot, without that it takes a try from the new one, by its
// menu. A loader that cannot read its state does the same.
func updateSetAside(t *suite.T) {
	u := newUpdates(t)
	u.offer(goodVersion)
	m := running(t)
	u.configure(m)
	t.Run(m, "update_engine_client -update && sync")
	u.wantEvents("started success "+goodVersion, "finished success "+goodVersion, "complete success "+goodVersion)
	m.Cut()

	m = t.Start(machine.Config{Name: "next", Disk: m.Config.Disk})
	t.Shows(m, `\x1b\[H\x1b\[J`) // GRUB clears the screen
	t.Must(m.Type("\x1b"))
	t.Shows(m, `CoreOS, slot A`)
	const down, enter = "\x0e", "\r"
	t.Must(m.Type(down + enter))
	healthy(t, m)
	t.Run(m, "systemctl start update-engine")
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_IDLE")
	u.wantEvents("complete error " + goodVersion + " loader-did-not-follow")
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	if status := t.Run(m, "update_engine_client -check_for_update; update_engine_client -status"); !strings.Contains(status, "REFUSED_VERSION="+goodVersion+" loader-did-not-follow") {
		t.Errorf("the status does not name the refused version:\n%s", status)
	}

	t.Run(m, "update_engine_client -update && slotctl next A && systemctl restart update-engine")
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_IDLE")
	u.wantEvents("started success "+goodVersion, "finished success "+goodVersion, "complete success "+goodVersion, "complete deferred "+goodVersion+" set-aside-by-hand")
}

// wantInstalled checks that slot B of a machine that is off has the good version, whole,
// and is next.
func wantInstalled(t *suite.T, disk *machine.Disk) {
	t.Helper()
	states := decode(t, disk)
	if b := states.Slots[slot.B]; states.Next() != slot.B || b != (slot.State{Tries: slot.MaxTries}) {
		t.Errorf("slot B should be next, on trial: %+v", states)
	}
	for content, label := range map[string]string{"boot": slot.B.BootLabel(), "usr": slot.B.UsrLabel()} {
		want, err := os.ReadFile(filepath.Join(releases(t), goodVersion+"."+content))
		t.Must(err)
		extent, err := disk.Partition(label)
		t.Must(err)
		got, err := disk.Read(extent.Offset, int64(len(want)))
		t.Must(err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not the %s image of version %s", label, content, goodVersion)
		}
	}
}

func updateCut(t *suite.T, seed uint64) {
	u := newUpdates(t)
	u.offer(goodVersion)
	m := running(t)
	u.configure(m)
	// An update takes half of that under emulation, or all of it beside another machine.
	moment := time.Duration(rand.New(rand.NewPCG(seed, 7)).Int64N(int64(24 * time.Second)))
	t.Run(m, "update_engine_client -check_for_update")
	time.Sleep(moment) // the moment is the test's input, not a wait for something
	m.Cut()
	t.Logf("cut after %v, %d bytes sent, %+v", moment.Round(time.Millisecond), u.sent.Load(), decode(t, m.Config.Disk).Slots[slot.B])

	m = t.Start(machine.Config{Name: "next", Disk: m.Config.Disk})
	healthy(t, m)
	t.Run(m, "systemctl start update-engine")
	if slots(t, m)["B"].Running {
		t.Equal("version", t.Run(m, ". /etc/os-release && echo $VERSION_ID"), goodVersion)
		wantSlots(t, m, "B", slotState{Tries: 3, OK: true})
		return
	}
	wantSlots(t, m, "A", slotState{Tries: 3, OK: true})
	t.Run(m, "update_engine_client -update")
	t.Equal("operation", operation(t, m), "UPDATE_STATUS_UPDATED_NEED_REBOOT")
	t.Run(m, "sync")
	m.Cut()
	wantInstalled(t, m.Config.Disk)
}
