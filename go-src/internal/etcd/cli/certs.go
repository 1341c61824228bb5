package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/cli/exit"
	"coreos/internal/cli/program"
	"coreos/internal/etcd/certs"
)

func certsCommand() *cobra.Command {
	var machines []string
	var life, renew int
	r := new(certs.Request)
	command := &cobra.Command{
		Use:   "certs --dir DIR --machine NAME=ADDRESS[,ADDRESS...]... [--client NAME...]",
		Short: "Make and renew the certificates of a cluster",
		Long: "Make an authority, certificates for machines and clients, and for each machine a cloud-config\n" +
			"and an etcd.conf.env that make it a member of a cluster of exactly these machines. Another run\n" +
			"renews the certificates that expire soon or are for other addresses, and keeps the rest.\n\n" +
			"DIR holds the key of the authority: do not keep it on the machines.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			r.Say = sayTo(command.OutOrStdout())
			if r.Dir == "" || len(machines)+len(r.Clients) == 0 {
				return exit.Usage(errors.New("give --dir, and at least one --machine or --client"))
			}
			for _, text := range machines {
				m, err := certs.ParseMachine(text)
				if err != nil {
					return exit.Usage(err)
				}
				r.Machines = append(r.Machines, m)
			}
			const day = 24 * time.Hour
			r.Life, r.Renew, r.Now = time.Duration(life)*day, time.Duration(renew)*day, time.Now()
			return r.Make()
		},
	}
	flags := command.Flags()
	flags.StringVar(&r.Dir, "dir", "", "`DIRECTORY` for the authority and all other files")
	flags.StringArrayVar(&machines, "machine", nil, "`NAME=ADDRESS[,ADDRESS...]` of a machine; other machines use its first address")
	flags.StringArrayVar(&r.Clients, "client", nil, "`NAME` of a client: the user in etcd")
	flags.IntVar(&life, "days", 365, "new certificates expire after so many `DAYS`")
	flags.IntVar(&renew, "renew-before", 30, "renew certificates that expire within so many `DAYS`")
	return command
}
