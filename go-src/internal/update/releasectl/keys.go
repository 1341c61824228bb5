package releasectl

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"coreos/internal/update/repository"
)

func keyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE",
		Short: "Make a key: FILE is the private half, FILE.pub the public one",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return repository.GenerateKey(args[0]) },
	}
}

func keysCommand() *cobra.Command {
	var rootFile string
	command := &cobra.Command{
		Use:   "keys DIRECTORY",
		Short: "Make the keys of a build and the root metadata that names them, if they do not exist",
		Long: "A build signs its update bundle with these keys, and its images trust the root metadata.\n" +
			"If your keys are elsewhere, put only DIRECTORY/metadata/N.root.json there.",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			made, err := repository.MakeKeys(args[0])
			if err != nil {
				return err
			}
			if made {
				fmt.Fprintln(command.OutOrStdout(), "releasectl: made new keys in", args[0])
			}
			return writeRoot(repository.Open(args[0]), rootFile)
		},
	}
	rootFileFlag(command, &rootFile)
	return command
}

func rootFileFlag(command *cobra.Command, path *string) {
	command.Flags().StringVar(path, "root-file", "", "also write the root metadata, which images carry, to this file")
}

// writeRoot writes the newest root metadata to a file, if path names one.
func writeRoot(r *repository.Repository, path string) error {
	if path == "" {
		return nil
	}
	root, err := r.Root()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, root, 0o644); err != nil {
		return fmt.Errorf("write the root metadata: %w", err)
	}
	return nil
}

// roleFlags are the public keys of a role and how many of them must sign.
type roleFlags struct {
	keys      []string
	threshold int
}

func (f *roleFlags) add(command *cobra.Command, role string) {
	command.Flags().StringSliceVar(&f.keys, role, nil, "public keys of the role "+role+" (default: no change)")
	command.Flags().IntVar(&f.threshold, role+"-threshold", 1, "how many of them must sign")
}

func (f *roleFlags) read() (repository.RoleKeys, error) {
	keys := repository.RoleKeys{Threshold: f.threshold}
	for _, path := range f.keys {
		key, err := repository.ReadPublicKey(path)
		if err != nil {
			return keys, err
		}
		keys.Keys = append(keys.Keys, key)
	}
	return keys, nil
}

func rootCommand() *cobra.Command {
	var root, targets, online roleFlags
	command := &cobra.Command{
		Use:   "root REPOSITORY",
		Short: "Stage root metadata: it names the keys whose signatures count",
		Long: "The first root metadata of a repository names keys for all three roles. Later, a role that you\n" +
			"give gets these keys and no others. Both the keys of the previous root and the new ones must\n" +
			"sign. After a change of the targets keys, renew and sign the targets too.",
		Example: "  releasectl root /srv/releases --root a.pub,b.pub --root-threshold 2 --targets t.pub --online o.pub",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			roles := map[string]repository.RoleKeys{}
			for _, role := range []struct {
				flags *roleFlags
				names []string
			}{
				{&root, []string{metadata.ROOT}}, {&targets, []string{metadata.TARGETS}},
				{&online, []string{metadata.SNAPSHOT, metadata.TIMESTAMP}},
			} {
				if len(role.flags.keys) == 0 {
					continue
				}
				keys, err := role.flags.read()
				if err != nil {
					return err
				}
				for _, name := range role.names {
					roles[name] = keys
				}
			}
			return repository.Open(args[0]).StageRoot(roles)
		},
	}
	root.add(command, "root")
	targets.add(command, "targets")
	online.add(command, "online")
	return command
}

// keyFlag adds the flag for the private keys to sign with.
func keyFlag(command *cobra.Command, paths *[]string, what string) {
	command.Flags().StringSliceVar(paths, "key", nil, what)
	_ = command.MarkFlagRequired("key")
}

func readKeys(paths []string) ([]repository.Key, error) {
	var keys []repository.Key
	for _, path := range paths {
		key, err := repository.ReadKey(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func signCommand() *cobra.Command {
	var paths []string
	command := &cobra.Command{
		Use:   "sign STAGED-FILE...",
		Short: "Sign staged metadata: REPOSITORY/staged/root.json or targets.json, or copies of them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			keys, err := readKeys(paths)
			if err != nil {
				return err
			}
			for _, file := range files {
				for _, key := range keys {
					if err := repository.Sign(file, key); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	keyFlag(command, &paths, "private keys to sign with")
	return command
}

func publishCommand() *cobra.Command {
	var paths []string
	var rootFile string
	command := &cobra.Command{
		Use:   "publish REPOSITORY",
		Short: "Publish what is staged and signed, and sign that this is the newest state",
		Long: "Machines accept a state of the repository for 14 days. So run publish more often than that,\n" +
			"from a timer, even if nothing is staged.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := readKeys(paths)
			if err != nil {
				return err
			}
			r := repository.Open(args[0])
			if err := r.Publish(keys...); err != nil {
				return err
			}
			return writeRoot(r, rootFile)
		},
	}
	keyFlag(command, &paths, "private online keys")
	rootFileFlag(command, &rootFile)
	return command
}
