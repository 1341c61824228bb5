// Command containerd is upstream's containerd and its client ctr in one binary: it is ctr
// if it is called by that name. package/coreos-containerd says what is left out.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins" // its plugins
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	ctr "github.com/containerd/containerd/v2/cmd/ctr/app"
)

func main() {
	app := command.App()
	if filepath.Base(os.Args[0]) == "ctr" {
		app = ctr.New()
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", app.Name, err)
		os.Exit(1)
	}
}
