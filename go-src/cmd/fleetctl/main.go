// Command fleetctl shows and changes what runs on a fleet cluster.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"coreos/internal/fleetctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := fleetctl.Run(ctx, os.Args[1:], fleetctl.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(status)
}
