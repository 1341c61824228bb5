// Command etcd is upstream's etcd, its gateway and its gRPC proxy included. With --coreos-socket it
// protects the keys of the operating system.
package main

import "coreos/internal/etcd/server"

func main() { server.Main() }
