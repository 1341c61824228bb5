package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coreos/internal/cli/program"
	"coreos/internal/etcd/datadir"
)

// verifyDataCommand makes the command that etcd-member.service runs before etcd. etcd itself reports
// other problems of its data better.
func verifyDataCommand() *cobra.Command {
	var data string
	command := &cobra.Command{
		Use:   "verify-data",
		Short: "Fail if etcd would not understand the data in its directory",
		Long: "Look at the data of an etcd that does not run. Exit status: 1 if they are of an etcd before 3.6,\n" +
			"over which this one would crash, and 0 otherwise.",
		Args: program.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			err := datadir.Dir(data).CanTakeOver()
			if err != nil && !errors.Is(err, datadir.ErrTooOld) {
				fmt.Fprintln(command.ErrOrStderr(), "etcd-memberctl: the data were not verified:", err)
				return nil
			}
			return err
		},
	}
	directory := os.Getenv("ETCD_DATA_DIR")
	if directory == "" {
		directory = datadir.Path
	}
	command.Flags().StringVar(&data, "data-dir", directory, "etcd's data `DIRECTORY`")
	return command
}
