// Command etcd2-proxy serves etcd 2's keys API from an etcd 3 cluster.
package main

import "coreos/internal/etcd/v2proxy"

func main() { v2proxy.Main() }
