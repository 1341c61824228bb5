// Command etcd2-proxy serves etcd 2's keys API from an etcd 3 cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"coreos/internal/cli/envflags"
	"coreos/internal/cli/singledash"
	"coreos/internal/etcd/v2proxy"
)

func main() {
	command := newCommand()
	command.SetArgs(singledash.Args(os.Args[1:]))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "etcd2-proxy:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var config v2proxy.Config
	var passwordFile string
	command := &cobra.Command{
		Use:   "etcd2-proxy",
		Short: "Serve etcd 2's keys API from an etcd 3 cluster (run by etcd2-proxy.service)",
		Long: "Serves /v2/keys to programs that were made for etcd 2. Keys and values are those of\n" +
			"etcd 3, so that both kinds of clients see the same data.\n\n" +
			"Each flag may be given in the environment: --listen-cert is ETCD2_PROXY_LISTEN_CERT.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := command.Flags()
	f.StringSliceVar(&config.Listen, "listen", []string{"http://127.0.0.1:4001"}, "URLs to serve at: http://, https:// or unix://")
	f.StringSliceVar(&config.Endpoints, "endpoints", []string{"http://127.0.0.1:2379"}, "URLs of the members of etcd")
	f.StringVar(&config.Cert, "cert", "", "PEM file of the certificate shown to etcd")
	f.StringVar(&config.Key, "key", "", "PEM file of its key")
	f.StringVar(&config.CACert, "cacert", "", "PEM file of the authorities that etcd's certificates are of")
	f.StringVar(&config.ListenCert, "listen-cert", "", "PEM file of the certificate shown to clients")
	f.StringVar(&config.ListenKey, "listen-key", "", "PEM file of its key")
	f.StringVar(&config.ListenClientCA, "listen-client-ca", "", "PEM file of the authorities that clients' certificates must be of")
	f.StringVar(&config.User, "user", "", "user of etcd")
	f.StringVar(&config.Password, "password", "", "its password, better given in the environment or in a file")
	f.StringVar(&passwordFile, "password-file", "", "file with its password")
	f.DurationVar(&config.Limits.Request, "timeout", 0, "how long a request may take (default 5s)")
	f.IntVar(&config.Limits.Waits, "max-waits", 0, "how many requests may wait for events (default 4096)")
	command.MarkFlagsMutuallyExclusive("password", "password-file")
	command.MarkFlagsRequiredTogether("cert", "key")
	command.MarkFlagsRequiredTogether("listen-cert", "listen-key")
	// Before cobra looks at which flags go together.
	command.Args = func(*cobra.Command, []string) error { return envflags.Set(f, "ETCD2_PROXY", os.LookupEnv) }
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unexpected argument %q", args[0])
		}
		if err := readPassword(&config, passwordFile); err != nil {
			return err
		}
		return v2proxy.Run(command.Context(), &config)
	}
	return command
}

func readPassword(config *v2proxy.Config, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--password-file: %w", err)
	}
	config.Password = strings.TrimRight(string(text), "\r\n")
	return nil
}
