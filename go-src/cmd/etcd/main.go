// Command etcd is upstream's etcd, its gateway and its gRPC proxy included.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
