package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/etcd/certs"
)

func certsCommand() *cobra.Command {
	var machines []string
	var life, renew int
	r := &certs.Request{Say: say}
	command := &cobra.Command{
		Use:   "certs --dir DIR --machine NAME=ADDRESS[,ADDRESS...]... [--client NAME...]",
		Short: "Make and renew the certificates of a cluster",
		Long: "Makes an authority, certificates for machines and clients, and for each machine a cloud-config\n" +
			"and an etcd.conf.env that make them members of a cluster of exactly these machines. Run again,\n" +
			"it renews what ends soon or is for other addresses, and keeps the rest.\n\n" +
			"DIR has the authority's key: keep it off the machines.",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if r.Dir == "" || len(machines)+len(r.Clients) == 0 {
				return usageError{errors.New("give --dir, and at least one --machine or --client")}
			}
			for _, text := range machines {
				m, err := certs.ParseMachine(text)
				if err != nil {
					return usageError{err}
				}
				r.Machines = append(r.Machines, m)
			}
			const day = 24 * time.Hour
			r.Life, r.Renew, r.Now = time.Duration(life)*day, time.Duration(renew)*day, time.Now()
			return r.Make()
		},
	}
	flags := command.Flags()
	flags.StringVar(&r.Dir, "dir", "", "`DIRECTORY` of the authority and of all that is made")
	flags.StringArrayVar(&machines, "machine", nil, "`NAME=ADDRESS[,ADDRESS...]` of a machine; the others find it at the first")
	flags.StringArrayVar(&r.Clients, "client", nil, "`NAME` of a client, which etcd takes for its user's")
	flags.IntVar(&life, "days", 365, "how many `DAYS` new certificates last")
	flags.IntVar(&renew, "renew-before", 30, "renew what ends within that many `DAYS`")
	return command
}
