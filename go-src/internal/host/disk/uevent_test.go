package disk

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const addVda = "add@/devices/pci0000:00/virtio1/block/vda\x00ACTION=add\x00DEVPATH=/devices/pci0000:00/virtio1/block/vda\x00" +
	"SUBSYSTEM=block\x00MAJOR=254\x00DEVNAME=vda\x00SEQNUM=42\x00"

func TestParseEvent(t *testing.T) {
	tests := []struct {
		name, message string
		want          Event
	}{
		{"a disk", addVda, Event{"ACTION": "add", "DEVPATH": "/devices/pci0000:00/virtio1/block/vda",
			"SUBSYSTEM": "block", "MAJOR": "254", "DEVNAME": "vda", "SEQNUM": "42"}},
		{"equals signs in the value", "add@/x\x00MODALIAS=a=b=\x00", Event{"MODALIAS": "a=b="}},
		{"empty value", "add@/x\x00A=\x00", Event{"A": ""}},
		{"no zero at the end", "add@/x\x00A=1", Event{"A": "1"}},
		{"empty", "", Event{}},
		{"no properties", "add@/x\x00\x00\x00", Event{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := parseEvent([]byte(test.message)); !maps.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// newEvents returns a receiver and the end of a socket that stands for the kernel.
func newEvents(t *testing.T) (*Events, int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	events := &Events{fd: pair[0]}
	t.Cleanup(func() {
		if err := errors.Join(events.Close(), unix.Close(pair[1])); err != nil {
			t.Error(err)
		}
	})
	return events, pair[1]
}

func TestNext(t *testing.T) {
	events, kernel := newEvents(t)
	for _, message := range []string{addVda, "remove@/x\x00ACTION=remove\x00", "big@/x\x00A=" + strings.Repeat("x", 10_000)} {
		if _, err := unix.Write(kernel, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, want := range []Event{parseEvent([]byte(addVda)), {"ACTION": "remove"}, {"A": strings.Repeat("x", 10_000)}} {
		got, err := events.Next(ctx)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestNextWaits(t *testing.T) {
	events, kernel := newEvents(t)
	sent := make(chan error)
	go func() {
		_, err := unix.Write(kernel, []byte(addVda))
		sent <- err
	}()
	event, err := events.Next(context.Background())
	if err != nil || event["DEVNAME"] != "vda" {
		t.Errorf("got %q, %v", event, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestNextEndsInTime(t *testing.T) {
	events, _ := newEvents(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := events.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := events.Next(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestNextReportsErrors(t *testing.T) {
	events := &Events{fd: -1}
	if _, err := events.Next(context.Background()); !errors.Is(err, unix.EBADF) {
		t.Errorf("got error %v, want %v", err, unix.EBADF)
	}
}

func TestListen(t *testing.T) {
	events, err := Listen()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("no uevents here:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(addVda))
	f.Add([]byte("=\x00==\x00\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		for key, value := range parseEvent(message) {
			if strings.Contains(key, "=") || strings.ContainsAny(key+value, "\x00") {
				t.Errorf("%q: property %q=%q", message, key, value)
			}
		}
	})
}
