package v2proxy

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"coreos/internal/cli/envflags"
	"coreos/internal/cli/program"
	"coreos/internal/cli/singledash"
)

// Main runs the command etcd2-proxy as this process.
func Main() { program.Main(command(), singledash.Args(os.Args[1:])) }

func command() *cobra.Command {
	var config Config
	var passwordFile string
	command := &cobra.Command{
		Use:   "etcd2-proxy",
		Short: "Serve etcd 2's keys API from an etcd 3 cluster (run by etcd2-proxy.service)",
		Long: "Serve /v2/keys to programs that were written for etcd 2. Keys and values are those of etcd 3, so\n" +
			"both kinds of clients see the same data.\n\n" +
			"Each flag has an environment variable: ETCD2_PROXY_LISTEN_CERT is that of --listen-cert.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line.",
	}
	f := command.Flags()
	f.StringSliceVar(&config.Listen, "listen", []string{"http://127.0.0.1:4001"}, "URLs to serve at: http://, https:// or unix://")
	f.StringSliceVar(&config.Endpoints, "endpoints", []string{"http://127.0.0.1:2379"}, "URLs of the members of etcd")
	f.StringVar(&config.Cert, "cert", "", "PEM file of the certificate shown to etcd")
	f.StringVar(&config.Key, "key", "", "PEM file of its key")
	f.StringVar(&config.CACert, "cacert", "", "PEM file of the authorities that issue etcd's certificates")
	f.StringVar(&config.ListenCert, "listen-cert", "", "PEM file of the certificate shown to clients")
	f.StringVar(&config.ListenKey, "listen-key", "", "PEM file of its key")
	f.StringVar(&config.ListenClientCA, "listen-client-ca", "", "PEM file of the authorities that must have issued clients' certificates")
	f.StringVar(&config.User, "user", "", "user of etcd")
	f.StringVar(&config.Password, "password", "", "password of the user; better in the environment or in a file")
	f.StringVar(&passwordFile, "password-file", "", "file with the password of the user")
	f.DurationVar(&config.Limits.Request, "timeout", 0, "how long a request may take (default 5s)")
	f.IntVar(&config.Limits.Waits, "max-waits", 0, "how many requests may wait for events (default 4096)")
	command.MarkFlagsMutuallyExclusive("password", "password-file")
	command.MarkFlagsRequiredTogether("cert", "key")
	command.MarkFlagsRequiredTogether("listen-cert", "listen-key")
	// The environment counts when it is checked which flags belong together.
	command.Args = func(command *cobra.Command, args []string) error {
		return errors.Join(program.NoArgs(command, args), envflags.Set(f, "ETCD2_PROXY", os.LookupEnv))
	}
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := readPassword(&config, passwordFile); err != nil {
			return err
		}
		return Run(command.Context(), &config)
	}
	return command
}

func readPassword(config *Config, file string) error {
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
