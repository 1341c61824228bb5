package suite

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// The time that the pieces of work below take on the machine for which the limits of the
// tests are written, with 2 processors that have nothing else to do.
const (
	usualNative   = 500 * time.Millisecond
	usualEmulated = 700 * time.Millisecond
)

// slowness is how many times slower than usual a piece of work was, and never below 1:
// limits get longer on a slow machine and not shorter on a fast one.
func slowness(took, usual time.Duration) float64 { return max(1, took.Seconds()/usual.Seconds()) }

// nativeSlowness has each processor hash.
func nativeSlowness() float64 {
	const rounds = 700
	start := time.Now()
	var all sync.WaitGroup
	for range runtime.NumCPU() {
		all.Go(func() {
			block := make([]byte, 1<<20)
			for range rounds {
				sum := sha256.Sum256(block)
				copy(block, sum[:])
			}
		})
	}
	all.Wait()
	return slowness(time.Since(start), usualNative)
}

// emulatedSlowness has a machine in QEMU for each processor count down. Their disk is in dir.
func emulatedSlowness(ctx context.Context, dir string) (float64, error) {
	disk := filepath.Join(dir, "speed")
	if err := os.WriteFile(disk, countdown(1<<28), 0o600); err != nil {
		return 0, err
	}
	start := time.Now()
	errs := make([]error, runtime.NumCPU())
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = emulate(ctx, disk) })
	}
	all.Wait()
	return slowness(time.Since(start), usualEmulated), errors.Join(errs...)
}

// countdown is a boot sector that counts down from n and switches the machine off.
func countdown(n uint32) []byte {
	code := []byte{0x66, 0xb9} // mov ecx, n
	code = binary.LittleEndian.AppendUint32(code, n)
	code = append(code,
		0x66, 0x49, // again: dec ecx
		0x75, 0xfc, // jnz again
		0xb0, 0x00, // mov al, 0
		0xe6, exitPort, // out exitPort, al
		0xf4) // hlt
	sector := make([]byte, 1<<20) // SeaBIOS boots no smaller disk
	copy(sector, code)
	copy(sector[510:], []byte{0x55, 0xaa})
	return sector
}

// exitPort is the port of QEMU's isa-debug-exit; QEMU ends with status 1 for a value of 0.
const exitPort = 0xf4

// emulateLimit is for a program that takes less than a second on the usual machine, and for a
// QEMU that does not start it.
const emulateLimit = 5 * time.Minute

func emulate(ctx context.Context, disk string) error {
	ctx, cancel := context.WithTimeout(ctx, emulateLimit)
	defer cancel()
	command := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-nodefaults", "-display", "none", "-m", "32",
		"-drive", "if=none,id=disk,format=raw,readonly=on,file="+disk, "-device", "virtio-blk-pci,drive=disk",
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=1", exitPort))
	out, err := command.CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return fmt.Errorf("QEMU did not end as its program says: %w: %s", err, out)
}
