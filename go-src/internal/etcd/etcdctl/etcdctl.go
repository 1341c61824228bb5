// Package etcdctl has upstream's client of etcd, which speaks to this machine's etcd by its socket
// where it may open that.
package etcdctl

import (
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"

	"coreos/internal/etcd/conn"
)

// Main runs the command as this process.
func Main() {
	if wantsDefault(os.Args[1:], os.Environ()) && opens(conn.Socket) {
		_ = os.Setenv("ETCDCTL_ENDPOINTS", "unix://"+conn.Socket)
	}
	cobra.EnablePrefixMatching = true // another command in this binary may have set it back
	ctlv3.MustStart()
}

// elsewhere are the flags that say where etcd is, or that it speaks TLS.
var elsewhere = []string{"endpoints", "discovery-srv", "discovery-srv-name", "cacert", "cert", "key", "insecure-skip-tls-verify", "insecure-transport"}

// wantsDefault reports whether neither the command line nor the environment says where etcd is.
func wantsDefault(args, environment []string) bool {
	for _, arg := range args {
		name, isFlag := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		if arg == "--" {
			break
		}
		if isFlag && slices.Contains(elsewhere, name) || strings.HasPrefix(arg, "-d") {
			return false
		}
	}
	return !slices.ContainsFunc(environment, func(variable string) bool {
		name, value, _ := strings.Cut(variable, "=")
		return value != "" && slices.ContainsFunc(elsewhere, func(flag string) bool {
			return name == "ETCDCTL_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		})
	})
}

// opens reports whether somebody listens on a socket, and this process may connect.
func opens(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}
