// Command fleetctl shows and changes what runs on a fleet cluster.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"coreos/internal/fleet/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(status)
}
