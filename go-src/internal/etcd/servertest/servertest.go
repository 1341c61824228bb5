// Package servertest runs an etcd in the process of a test.
package servertest

import (
	"errors"
	"net/url"
	"os"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// Start starts an etcd with its data in a directory, and returns its URL for clients.
func Start(dir string) (endpoint string, stop func(), err error) {
	config := embed.NewConfig()
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.Dir, config.LogLevel, config.UnsafeNoFsync = dir, "fatal", true
	config.ListenClientUrls, config.ListenPeerUrls = anyPort, anyPort
	// Short elections make short TTLs possible: the shortest TTL is three halves of one.
	config.TickMs, config.ElectionMs = 20, 200
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return "", nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return "http://" + etcd.Clients[0].Addr().String(), etcd.Close, nil
	case <-time.After(30 * time.Second):
		etcd.Close()
		return "", nil, errors.New("etcd does not start")
	}
}

// Main runs the tests of a package with one etcd for all of them, whose URL it puts into
// endpoint.
func Main(m *testing.M, endpoint *string) {
	os.Exit(run(m, endpoint))
}

func run(m *testing.M, endpoint *string) int {
	dir, err := os.MkdirTemp("", "servertest-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	address, stop, err := Start(dir)
	if err != nil {
		panic(err)
	}
	defer stop()
	*endpoint = address
	return m.Run()
}
