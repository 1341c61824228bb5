package daemon

import (
	"net"
	"runtime"

	"golang.org/x/sys/unix"

	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/store"
	"coreos/internal/host/hostid"
)

// reserved is the divisor of the share of the memory that is kept for the system.
const reserved = 10

// Describe returns the record of this machine.
func Describe(s Settings) store.Machine {
	m := store.Machine{
		PublicIP: s.PublicIP, Metadata: s.Metadata, Version: schema.Version, CPUs: float64(runtime.NumCPU()), MaxUnits: s.MaxUnits,
	}
	if m.PublicIP == "" {
		m.PublicIP = address()
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		all := int64(info.Totalram) * int64(info.Unit)
		m.Memory = all - all/reserved
	}
	m.Boot, _ = hostid.Boot() // every Linux kernel has a boot ID
	return m
}

// address returns the address from which this machine reaches other networks, of IPv4 if it does so
// by both; "" if it has none. It sends nothing: connecting a UDP socket only chooses a route.
func address() string {
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue
		}
		defer conn.Close()
		host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
		return host
	}
	return ""
}
