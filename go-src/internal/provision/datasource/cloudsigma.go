package datasource

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

const (
	// CloudSigmaPort is the serial port of the server context.
	CloudSigmaPort = "/dev/ttyS1"
	// endOfTransmission ends an answer.
	endOfTransmission = 4
	// maxContext is the size limit of an answer in bytes. It contains user-data in base64.
	maxContext = 2 * MaxUserData
)

// CloudSigma is the server context of CloudSigma on a serial port, which is CloudSigmaPort
// except in tests. If the product file, which is ProductFile except in tests, does not name
// CloudSigma, the source is ErrAbsent and nothing is written to the port. User-data is
// cloudinit-user-data in the meta of the server, in base64 if base64_fields names it. The
// private address is that of the interface in a VLAN, once it has one. See
// https://docs.cloudsigma.com/en/latest/server_context.html.
func CloudSigma(productFile, port string) Source {
	return source{"CloudSigma server context on " + port, func(ctx context.Context) (*Data, error) {
		if err := checkDMI(ctx, productFile, "CloudSigma"); err != nil {
			return nil, err
		}
		text, err := serverContext(ctx, port)
		if err != nil {
			return nil, err
		}
		return parseCloudSigma(text, localIPv4)
	}}
}

// serverContext requests the whole context. A request is a key between < and >; the empty
// key requests everything.
func serverContext(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	port, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, localError(err)
	}
	defer port.Close()
	if err := makeRaw(port); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = port.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(port, "<\n\n>"); err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	text, err := bufio.NewReader(io.LimitReader(port, maxContext)).ReadBytes(endOfTransmission)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("read %s: %w", path, context.Cause(ctx))
	case errors.Is(err, io.EOF) && len(text) == maxContext:
		return nil, fmt.Errorf("read %s: %w: more than %d KiB", path, ErrTooLarge, maxContext>>10)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text[:len(text)-1], nil
}

// makeRaw sets a serial port to change nothing in the data. It does not use File.Fd, after
// which deadlines have no effect on reads.
func makeRaw(port *os.File) error {
	connection, err := port.SyscallConn()
	if err != nil {
		return err
	}
	var made error
	err = connection.Control(func(fd uintptr) { _, made = term.MakeRaw(int(fd)) })
	return errors.Join(err, made)
}

func parseCloudSigma(text []byte, addressOf func(net.HardwareAddr) netip.Addr) (*Data, error) {
	var parsed struct {
		Name string            `json:"name"`
		UUID string            `json:"uuid"`
		Meta map[string]string `json:"meta"`
		NICs []struct {
			MAC  looseText `json:"mac"`
			IPv4 struct {
				IP struct {
					Address looseText `json:"uuid"`
				} `json:"ip"`
			} `json:"ip_v4_conf"`
			VLAN struct {
				UUID string `json:"uuid"`
			} `json:"vlan"`
		} `json:"nics"`
	}
	data := &Data{}
	m := &data.Metadata
	err := m.document(text, &parsed)
	if err != nil {
		return nil, err
	}
	m.SSHKeys = []string{parsed.Meta["ssh_public_key"]}
	if m.Hostname = parsed.Name; m.Hostname == "" {
		m.Hostname = parsed.UUID
	}
	for i, nic := range parsed.NICs {
		entry := fmt.Sprintf("nics[%d]", i)
		setFirst(&m.PublicIPv4, m.address(entry+".ip_v4_conf", string(nic.IPv4.IP.Address)))
		mac, err := parseMAC(string(nic.MAC))
		if err != nil {
			m.leaveOut(fmt.Errorf("%s.mac: %w", entry, err))
		} else if nic.VLAN.UUID != "" {
			setFirst(&m.PrivateIPv4, addressOf(mac))
		}
	}
	data.UserData, data.Undecoded = cloudSigmaUserData(parsed.Meta)
	return data, nil
}

func cloudSigmaUserData(meta map[string]string) ([]byte, error) {
	const field = "cloudinit-user-data"
	if !slices.Contains(strings.Split(meta["base64_fields"], ","), field) {
		return []byte(meta[field]), nil
	}
	text, err := decodeBase64(meta[field])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return text, nil
}

// localIPv4 returns the current address of an interface of this machine.
func localIPv4(mac net.HardwareAddr) netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}
	}
	for _, each := range interfaces {
		if len(mac) == 0 || !bytes.Equal(each.HardwareAddr, mac) {
			continue
		}
		addresses, err := each.Addrs()
		if err != nil {
			continue
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() {
				return prefix.Addr()
			}
		}
	}
	return netip.Addr{}
}
