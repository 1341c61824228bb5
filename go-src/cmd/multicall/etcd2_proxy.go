//go:build !no_etcd2_proxy

package main

import (
	"coreos/internal/etcd/v2proxy"
)

func init() {
	programs["etcd2-proxy"] = v2proxy.Main
}
