package cli

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
)

func (a *app) fdForwardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fd-forward SOCKET",
		Short: "Connect stdin and stdout to a unix socket",
		Long:  "fleetctl --tunnel runs this command on the machine at the end of the tunnel, to reach fleetd's socket.",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return a.forward(args[0]) },
	}
}

// forward copies both ways until the socket is closed. After the end of stdin it still prints what
// comes from the socket.
func (a *app) forward(path string) error {
	socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("fd-forward: %w", err)
	}
	defer socket.Close()
	go func() {
		_, _ = io.Copy(socket, a.In) // an error closes the socket, which the other side sees
		_ = socket.CloseWrite()
	}()
	_, err = io.Copy(a.Out, socket)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "verify UNIT",
		Short:  "Cannot be used: units are not signed",
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return exit.Usage(errors.New("verify cannot be used: units are not signed"))
		},
	}
}
