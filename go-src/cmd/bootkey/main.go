// Command bootkey makes the key of a build and signs what GRUB verifies. It runs
// on the build host.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/boot/bootkey"
	"coreos/internal/build/sourcedate"
)

func main() {
	root := &cobra.Command{
		Use:           "bootkey",
		Short:         "Make the signing key of a build, and sign and verify with it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var name, dir, public string
	generate := &cobra.Command{
		Use:   "generate DIR",
		Short: "Make an RSA-4096 key: DIR/boot.key (private) and DIR/boot.pub",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return bootkey.Generate(args[0], name, time.Now())
		},
	}
	generate.Flags().StringVar(&name, "name", "CoreOS boot", "user id of the key")
	sign := &cobra.Command{
		Use:   "sign --key DIR FILE...",
		Short: "Write the detached signature of each FILE to FILE.sig",
		Long: "Write the detached OpenPGP signature of each FILE to FILE.sig.\n" +
			"SOURCE_DATE_EPOCH, if set, is the time that the signatures carry.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return signAll(dir, args) },
	}
	sign.Flags().StringVar(&dir, "key", "", "key directory")
	verify := &cobra.Command{
		Use:   "verify --pubkey FILE FILE...",
		Short: "Check each FILE against FILE.sig",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, path := range args {
				if err := bootkey.Verify(public, path); err != nil {
					return err
				}
			}
			return nil
		},
	}
	verify.Flags().StringVar(&public, "pubkey", "", "public key, as in boot.pub")
	root.AddCommand(generate, sign, verify)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "bootkey:", err)
		os.Exit(1)
	}
}

func signAll(dir string, paths []string) error {
	when, err := sourcedate.Now()
	if err != nil {
		return err
	}
	key, err := bootkey.Load(dir)
	if err != nil {
		return err
	}
	// A signature must not be older than its key.
	if created := key.PrimaryKey.CreationTime; when.Before(created) {
		when = created
	}
	for _, path := range paths {
		if err := bootkey.Sign(key, path, when); err != nil {
			return err
		}
	}
	return nil
}
