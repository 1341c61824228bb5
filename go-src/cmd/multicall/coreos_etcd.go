//go:build !no_coreos_etcd

package main

import (
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"coreos/internal/etcd/cli"
	"coreos/internal/etcd/etcdutl"
)

func init() {
	programs["etcd"] = func() { etcdmain.Main(os.Args) }
	programs["etcd-memberctl"] = cli.Main
	programs["etcdctl"] = func() {
		cobra.EnablePrefixMatching = true // multicall.Run sets it back for all commands
		ctlv3.MustStart()
	}
	programs["etcdutl"] = etcdutl.Main
}
