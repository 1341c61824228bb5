// Command etcdctl is upstream's client of etcd.
package main

import "coreos/internal/etcd/etcdctl"

func main() { etcdctl.Main() }
