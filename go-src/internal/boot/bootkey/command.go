package bootkey

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"coreos/internal/boot/authenticode"
	"coreos/internal/build/sourcedate"
	"coreos/internal/cli/program"
)

// Main runs the command bootkey as this process.
func Main() { program.Main(command(), os.Args[1:]) }

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "bootkey",
		Short: "Make the signing key of a build, and sign and verify with it",
		Long: "Make the signing key of a build, and sign and verify with it.\n\n" +
			"Exit status: 0 on success, 1 on an error, 2 for a wrong command line.",
	}
	root.AddCommand(generateCommand(), signCommand(), signKernelCommand(), verifyCommand())
	return root
}

func generateCommand() *cobra.Command {
	var name string
	command := &cobra.Command{
		Use:   "generate DIR",
		Short: "Make an RSA-4096 key: DIR/boot.key (private) and DIR/boot.pub",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return Generate(args[0], name, time.Now())
		},
	}
	command.Flags().StringVar(&name, "name", "CoreOS boot", "user id of the key")
	return command
}

func signCommand() *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "sign --key DIR FILE...",
		Short: "Write the detached signature of each FILE to FILE.sig",
		Long: "Write the detached OpenPGP signature of each FILE to FILE.sig.\n" +
			"The signatures carry the time SOURCE_DATE_EPOCH if it is set.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return signAll(dir, args) },
	}
	command.Flags().StringVar(&dir, "key", "", "`DIRECTORY` of the key")
	_ = command.MarkFlagRequired("key")
	_ = command.MarkFlagDirname("key")
	return command
}

func signKernelCommand() *cobra.Command {
	var key string
	command := &cobra.Command{
		Use:   "sign-kernel --key FILE KERNEL",
		Short: "Sign a kernel, so that one in lockdown starts it by kexec",
		Long: "Sign a kernel with the key of its modules, so that one in lockdown starts it by kexec.\n" +
			"A kernel that has a signature stays as it is.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return signKernel(key, args[0]) },
	}
	command.Flags().StringVar(&key, "key", "", "PEM `FILE` with an RSA key and its certificate")
	_ = command.MarkFlagRequired("key")
	return command
}

func signKernel(keyFile, path string) error {
	key, err := authenticode.LoadKey(keyFile)
	if err != nil {
		return err
	}
	image, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	signed, err := authenticode.Sign(image, key)
	if errors.Is(err, authenticode.ErrSigned) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return replaceFile(path, signed, 0o644)
}

func verifyCommand() *cobra.Command {
	var public string
	command := &cobra.Command{
		Use:   "verify --pubkey FILE FILE...",
		Short: "Check each FILE against FILE.sig",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, path := range args {
				if err := Verify(public, path); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().StringVar(&public, "pubkey", "", "`FILE` of the public key, such as boot.pub")
	_ = command.MarkFlagRequired("pubkey")
	return command
}

func signAll(dir string, paths []string) error {
	when, err := sourcedate.Now()
	if err != nil {
		return err
	}
	key, err := Load(dir)
	if err != nil {
		return err
	}
	// A signature must not be older than its key.
	if created := key.PrimaryKey.CreationTime; when.Before(created) {
		when = created
	}
	for _, path := range paths {
		if err := Sign(key, path, when); err != nil {
			return err
		}
	}
	return nil
}
