//go:build !no_coreos_etcd

package main

import (
	"coreos/internal/etcd/cli"
	"coreos/internal/etcd/etcdctl"
	"coreos/internal/etcd/etcdutl"
	"coreos/internal/etcd/server"
)

func init() {
	programs["etcd"] = server.Main
	programs["etcd-memberctl"] = cli.Main
	programs["etcdctl"] = etcdctl.Main
	programs["etcdutl"] = etcdutl.Main
}
