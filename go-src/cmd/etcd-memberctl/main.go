// Command etcd-memberctl looks after this machine's member of an etcd cluster.
package main

import "coreos/internal/etcd/cli"

func main() { cli.Main() }
