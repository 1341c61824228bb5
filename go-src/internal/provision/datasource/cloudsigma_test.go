package datasource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"coreos/internal/host/treetest"
)

const cloudSigmaDocument = `{
  "context": true, "cpu": 4000, "name": "one", "uuid": "20a0059b", "smp": 2, "mem": 4294967296,
  "meta": {"base64_fields": "notes,cloudinit-user-data", "ssh_public_key": "ssh-rsa AAAA one",
    "cloudinit-user-data": "I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogb25lCg=="},
  "nics": [
    {"mac": "22:3d:09:6b:90:f3", "model": "virtio", "vlan": null, "ip_v6_conf": null, "ip_v4_conf": {"conf": "dhcp",
      "ip": {"gateway": "203.0.113.1", "netmask": 22, "nameservers": ["8.8.8.8"], "uuid": "203.0.113.25"}}},
    {"mac": "22:ae:4a:fb:8f:31", "model": "virtio", "vlan": {"meta": {}, "uuid": "5dec030e"}, "ip_v4_conf": null}
  ]
}`

// serialPort makes a pair of pseudo terminals; who opens the path has the other end.
func serialPort(t *testing.T) (host *os.File, path string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no pseudo terminals here:", err)
	}
	host = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { host.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path = fmt.Sprintf("/dev/pts/%d", number)
	// While one holds it open, the end of a user of it is no end of the port.
	held, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here:", err)
	}
	t.Cleanup(func() { held.Close() })
	return host, path
}

// answer waits for a request and answers it.
func answer(t *testing.T, host *os.File, text string) {
	t.Helper()
	go func() {
		var request []byte
		for !bytes.HasSuffix(request, []byte("<\n\n>")) {
			b := make([]byte, 64)
			n, err := host.Read(b)
			if err != nil {
				return
			}
			request = append(request, b[:n]...)
		}
		_, _ = host.WriteString(text)
	}()
}

func cloudSigma(t *testing.T, port string) Source {
	product := filepath.Join(treetest.Dir(t, map[string]string{"product_name": "CloudSigma\n"}), "product_name")
	return CloudSigma(product, port)
}

func TestCloudSigma(t *testing.T) {
	tests := map[string]struct {
		text    string
		want    *Data
		wantErr error
	}{
		"all": {cloudSigmaDocument + "\x04", &Data{UserData: []byte(config), Metadata: Metadata{
			Hostname: "one", SSHKeys: []string{"ssh-rsa AAAA one"}, PublicIPv4: address("203.0.113.25"),
		}}, nil},
		"not in base64": {`{"meta": {"cloudinit-user-data": "#!"}, "uuid": "20a0059b"}` + "\x04",
			&Data{UserData: []byte("#!"), Metadata: Metadata{Hostname: "20a0059b"}}, nil},
		"nothing":    {"{}\x04", &Data{}, nil},
		"garbage":    {"login: \x04", nil, ErrInvalid},
		"bad base64": {`{"meta": {"base64_fields": "cloudinit-user-data", "cloudinit-user-data": "#"}}` + "\x04", nil, ErrInvalid},
		"endless":    {strings.Repeat(" ", maxContext+1), nil, ErrTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			host, path := serialPort(t)
			answer(t, host, test.text)
			check(t, cloudSigma(t, path), test.want, test.wantErr)
		})
	}
}

func TestCloudSigmaIsNotThere(t *testing.T) {
	host, path := serialPort(t)
	product := filepath.Join(treetest.Dir(t, map[string]string{"product_name": "Standard PC (Q35 + ICH9, 2009)\n"}), "product_name")
	check(t, CloudSigma(product, path), nil, ErrAbsent)
	check(t, CloudSigma("/nowhere/product_name", path), nil, ErrAbsent)
	if err := host.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := host.Read(make([]byte, 64)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes on the port of another machine, error %v", n, err)
	}
	check(t, cloudSigma(t, "/nowhere/ttyS1"), nil, ErrAbsent)
	check(t, cloudSigma(t, product), nil, ErrInvalid)
}

func TestCloudSigmaSaysNothing(t *testing.T) {
	host, path := serialPort(t)
	answer(t, host, `{"name": "on`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := cloudSigma(t, path).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestCloudSigmaPrivateAddress(t *testing.T) {
	data, err := parseCloudSigma([]byte(cloudSigmaDocument), func(mac net.HardwareAddr) netip.Addr {
		if mac.String() != "22:ae:4a:fb:8f:31" {
			t.Errorf("asked for %v", mac)
		}
		return address("10.0.0.2")
	})
	if err != nil || data.Metadata.PrivateIPv4 != address("10.0.0.2") {
		t.Errorf("got %+v, error %v", data, err)
	}
	if got := localIPv4(net.HardwareAddr{2, 0xff, 0xff, 0xff, 0xff, 0xff}); got.IsValid() {
		t.Errorf("a foreign address is %v", got)
	}
}

func FuzzCloudSigma(f *testing.F) {
	f.Add([]byte(cloudSigmaDocument))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = parseCloudSigma(text, func(net.HardwareAddr) netip.Addr { return netip.Addr{} })
	})
}
