package releasectl

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"coreos/internal/cli/output"
	"coreos/internal/update/payload"
	"coreos/internal/update/release"
	"coreos/internal/update/repository"
)

func boardFlag(command *cobra.Command) *string {
	return command.Flags().String("board", "amd64-usr", "kind of machine that the release is for")
}

func notesFlag(command *cobra.Command) *string {
	return command.Flags().String("notes", "", "`FILE` with the release notes, at most 8 KiB of text")
}

// packingFlags say how a release is packed.
type packingFlags struct {
	compression *string
	patches     *int
}

func addPackingFlags(command *cobra.Command) packingFlags {
	return packingFlags{
		command.Flags().String("compression", string(payload.Best), "best, which takes minutes and zstd(1), or fast"),
		command.Flags().Int("patches", repository.Patches, "`NUMBER` of older versions to make patches from, the newest published ones"),
	}
}

func (f packingFlags) packing() (repository.Packing, error) {
	effort, err := payload.ParseEffort(*f.compression)
	return repository.Packing{Patches: *f.patches, Effort: effort, Progress: progress(os.Stderr, time.Now)}, err
}

// progressPause is the time between two lines of progress.
const progressPause = 10 * time.Second

// progress returns a function that writes how far a compression is, unless it is done soon.
func progress(w io.Writer, now func() time.Time) func(done, total int64) {
	last := now()
	return func(done, total int64) {
		if now().Sub(last) >= progressPause {
			last = now()
			fmt.Fprintf(w, "releasectl: compressed %d %% of %d MB\n", done*100/total, total/1e6)
		}
	}
}

func addCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "add REPOSITORY BOOT-IMAGE USR-IMAGE",
		Short: "Put a build into the repository and stage its release",
		Args:  cobra.ExactArgs(3),
	}
	board := boardFlag(command)
	minimum := command.Flags().String("minimum-version", "", "oldest version that can be updated to this one")
	notes := notesFlag(command)
	flags := addPackingFlags(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		packing, err := flags.packing()
		if err != nil {
			return err
		}
		m, err := repository.Open(args[0]).AddRelease(command.Context(), *board, *minimum, repository.Images{Boot: args[1], Usr: args[2], Notes: *notes}, packing)
		if err != nil {
			return err
		}
		out := command.OutOrStdout()
		fmt.Fprintf(out, "staged %s for %s: boot %d bytes, usr %d bytes, in parts %d bytes\n", m.Version, m.Board, m.Boot.Payload.Size, m.Usr.Whole.Size, m.Usr.Payload.Size)
		for _, p := range m.Usr.Patches {
			fmt.Fprintf(out, "patch from /usr %.16s…: %d bytes\n", p.From, p.Size)
		}
		return nil
	}
	return command
}

func removeCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "remove REPOSITORY VERSION",
		Short: "Stage the removal of a version",
		Long:  "The files stay, for machines that still fetch them. verify lists files that nothing needs.",
		Args:  cobra.ExactArgs(2),
	}
	board := boardFlag(command)
	command.RunE = func(_ *cobra.Command, args []string) error {
		return repository.Open(args[0]).RemoveRelease(*board, args[1])
	}
	return command
}

func channelCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "channel REPOSITORY CHANNEL VERSION",
		Short:   "Stage the version of a channel",
		Example: "  releasectl channel /srv/releases stable 4891.1.0",
		Args:    cobra.ExactArgs(3),
	}
	board := boardFlag(command)
	command.RunE = func(_ *cobra.Command, args []string) error {
		return repository.Open(args[0]).SetChannel(*board, args[1], args[2])
	}
	return command
}

func renewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "renew REPOSITORY",
		Short: "Stage releases and channels unchanged, to sign them for another year",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return repository.Open(args[0]).Renew() },
	}
}

func showCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "show REPOSITORY [VERSION]",
		Short: "Show roles, releases and channels, or one release with its notes",
		Args:  cobra.RangeArgs(1, 2),
	}
	board := boardFlag(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		r := repository.Open(args[0])
		if len(args) == 2 {
			m, err := r.Manifest(command.Context(), *board, args[1])
			if err != nil {
				return err
			}
			return show(command.OutOrStdout(), m, asJSON, writeManifest)
		}
		state, err := r.Describe()
		if err != nil {
			return err
		}
		return show(command.OutOrStdout(), state, asJSON, writeState)
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// show writes a value as JSON, or for people.
func show[T any](w io.Writer, value T, asJSON bool, write func(io.Writer, T) error) error {
	if !asJSON {
		return write(w, value)
	}
	return output.JSON(w, value)
}

func writeManifest(w io.Writer, m *release.Manifest) error {
	table := output.Table(w)
	fmt.Fprintf(table, "BOARD\t%s\nRELEASE\t%s\n", m.Board, m.Version)
	if m.MinimumVersion != "" {
		fmt.Fprintf(table, "UPDATES FROM\t%s\n", m.MinimumVersion)
	}
	fmt.Fprintf(table, "BOOT\t%d bytes\nUSR\t%d bytes\nPATCHES\t%d\n", m.Boot.Payload.Size, m.Usr.Payload.Size, len(m.Usr.Patches))
	if err := table.Flush(); err != nil {
		return err
	}
	if m.Notes == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(m.Notes))
	return err
}

func writeState(w io.Writer, state *repository.State) error {
	table := output.Table(w)
	fmt.Fprintln(table, "ROLE\tVERSION\tEXPIRES\tKEYS\tMUST SIGN")
	for _, r := range state.Roles {
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\n", r.Name, r.Version, r.Expires.Format(time.DateOnly), len(r.Keys), r.Threshold)
	}
	fmt.Fprintln(table, "\nBOARD\tCHANNEL\tVERSION")
	for _, c := range state.Channels {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Board, c.Name, c.Version)
	}
	fmt.Fprintln(table, "\nBOARD\tRELEASE")
	for _, r := range state.Releases {
		fmt.Fprintf(table, "%s\t%s\n", r.Board, r.Version)
	}
	return table.Flush()
}

func verifyCommand() *cobra.Command {
	var rootFile string
	command := &cobra.Command{
		Use:   "verify REPOSITORY",
		Short: "Check every signature and every byte, as a machine with this root metadata does",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			root, err := os.ReadFile(rootFile)
			if err != nil {
				return fmt.Errorf("read the root metadata: %w", err)
			}
			unused, err := repository.Open(args[0]).Verify(command.Context(), root, time.Now())
			if err != nil {
				return err
			}
			for _, name := range unused {
				fmt.Fprintln(command.OutOrStdout(), "unused:", name)
			}
			fmt.Fprintln(command.OutOrStdout(), "good")
			return nil
		},
	}
	command.Flags().StringVar(&rootFile, "root-file", "", "root metadata, as images carry it")
	_ = command.MarkFlagRequired("root-file")
	return command
}

func bundleCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "bundle REPOSITORY VERSION FILE",
		Short: "Write a published release as one file, for machines without a network",
		Args:  cobra.ExactArgs(3),
	}
	board := boardFlag(command)
	format := command.Flags().Int("format", repository.BundleFormat, fmt.Sprintf("format of the bundle; versions up to 4891.0.0 read only %d", repository.PayloadBundle))
	command.RunE = func(command *cobra.Command, args []string) error {
		return writeFile(args[2], func(w io.Writer) error {
			return repository.Open(args[0]).WriteBundle(command.Context(), w, *board, args[1], *format)
		})
	}
	return command
}

// writeFile writes a file whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	defer func() { _ = file.Cleanup() }()
	if err := write(file); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

func packCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "pack REPOSITORY BOOT-IMAGE USR-IMAGE BUNDLE",
		Short: "Publish a build with the keys of the build, and write its bundle",
		Args:  cobra.ExactArgs(4),
	}
	board := boardFlag(command)
	keys := command.Flags().String("keys", "", "directory with the keys (releasectl keys)")
	notes := notesFlag(command)
	channel := command.Flags().String("channel", "stable", "channel that gets the version")
	_ = command.MarkFlagRequired("keys")
	flags := addPackingFlags(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		packing, err := flags.packing()
		if err != nil {
			return err
		}
		return writeFile(args[3], func(w io.Writer) error {
			return repository.Open(args[0]).Pack(command.Context(), *keys, *board, *channel, repository.Images{Boot: args[1], Usr: args[2], Notes: *notes}, packing, w)
		})
	}
	return command
}
