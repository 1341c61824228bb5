// Command etcdutl is upstream's tool for etcd's files.
package main

import "coreos/internal/etcd/etcdutl"

func main() { etcdutl.Main() }
