package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coreos/internal/cli/redact"
	"coreos/internal/update/config"
	"coreos/internal/update/download"
	"coreos/internal/update/omaha"
	"coreos/internal/update/release"
	"coreos/internal/update/repository"
	"coreos/internal/update/slotwriter"
)

// Trust is what the machine knows about the repository that it trusts.
type Trust struct {
	// RootFile is the file with the root metadata that came with the running system.
	RootFile string
	// StateDir is the directory that keeps the newest metadata that was seen.
	StateDir string
	// ClockFile is the file whose time of change is that of the last synchronised clock.
	ClockFile string
}

// passed returns a time that has certainly passed: when the running system was built, as all
// files in /usr say, or when systemd-timesyncd last had the time of a server.
func (t Trust) passed() time.Time {
	var latest time.Time
	for _, path := range []string{t.RootFile, t.ClockFile} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest
}

func (t Trust) client(files repository.Files) (repository.ClientConfig, error) {
	root, err := os.ReadFile(t.RootFile)
	if err != nil {
		return repository.ClientConfig{}, fmt.Errorf("read the root metadata of the update repository: %w", err)
	}
	return repository.ClientConfig{Files: files, Root: root, StateDir: t.StateDir, Now: time.Now(), NotBefore: t.passed()}, nil
}

// Source makes offers from repositories on servers.
type Source struct {
	Client *download.Client
	Trust  Trust
	Board  string
}

func (s Source) repository(ctx context.Context, address string) (*repository.Client, download.Directory, error) {
	directory := download.Directory{Client: s.Client, URL: address}
	config, err := s.Trust.client(directory)
	if err != nil {
		return nil, directory, err
	}
	client, err := repository.NewClient(ctx, config)
	return client, directory, err
}

// offer returns the offer of a version that is in one or several copies of a repository.
func (s Source) offer(version string, addresses []string) *Offer {
	return &Offer{version, func(ctx context.Context) (*release.Manifest, slotwriter.Files, error) {
		ctx, cancel := context.WithTimeout(ctx, openTime)
		defer cancel()
		opener := s
		if len(addresses) > 1 {
			opener.Client = s.Client.Hasty()
		}
		var errs error
		for _, address := range addresses {
			client, directory, err := opener.repository(ctx, address)
			if err == nil {
				var manifest *release.Manifest
				if manifest, err = client.Manifest(ctx, s.Board, version); err == nil {
					directory.Client = s.Client
					return manifest, directory.Sub(release.Directory(s.Board, version)), nil
				}
			}
			errs = errors.Join(errs, fmt.Errorf("%s: %w", redact.URL(address), err))
		}
		return nil, nil, errs
	}}
}

// Channel is a repository that is used without a server. It offers the version of the
// channel.
type Channel struct {
	Source
	URL, Name string
}

// Check implements Server.
func (c Channel) Check(ctx context.Context, _ bool) (Answer, error) {
	client, _, err := c.repository(ctx, c.URL)
	if err != nil {
		return Answer{}, err
	}
	version, err := client.Channel(ctx, c.Board, c.Name)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Offer: c.offer(version, []string{c.URL})}, nil
}

// Report implements Server. A repository takes no reports.
func (Channel) Report(context.Context, []omaha.EventRequest) error { return nil }

// Omaha is an Omaha server.
type Omaha struct {
	Source
	Config  *config.Config
	Machine omaha.AppRequest // identifies the machine
	OS      omaha.OS
}

// requestTime is the time limit of a request.
const requestTime = 2 * time.Minute

// maxURLs is how many copies of a repository are tried, openTime the time limit of all of
// them together.
const (
	maxURLs  = 8
	openTime = 10 * time.Minute
)

func (o Omaha) request(ctx context.Context, app omaha.AppRequest, explicit bool) (*omaha.AppResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	source := "scheduler"
	if explicit {
		source = "ondemandupdate"
	}
	client := omaha.Client{URL: o.Config.Server, HTTP: o.Client.HTTP()}
	response, err := client.Do(ctx, &omaha.Request{
		Protocol: omaha.Protocol, Version: "CoreOSUpdateEngine-" + o.Config.Version, UpdaterVersion: "CoreOSUpdateEngine-" + o.Config.Version,
		InstallSource: source, IsMachine: 1, OS: &o.OS, Apps: []omaha.AppRequest{app},
	})
	if err != nil {
		return nil, err
	}
	return response.App(app.ID)
}

// Check implements Server.
func (o Omaha) Check(ctx context.Context, explicit bool) (Answer, error) {
	app := o.Machine
	app.Ping = &omaha.Ping{Active: 1}
	app.UpdateCheck = &omaha.UpdateCheckRequest{TargetVersionPrefix: o.Config.Pin, RollbackAllowed: o.Config.AllowDowngrade}
	response, err := o.request(ctx, app, explicit)
	if err != nil {
		return Answer{}, err
	}
	check := response.UpdateCheck
	if check == nil {
		return Answer{}, fmt.Errorf("%w: the server does not answer the update check", omaha.ErrProtocol)
	}
	answer := Answer{Interval: interval(check.PollInterval)}
	switch {
	case check.Status == omaha.StatusNoUpdate:
		return answer, nil
	case check.Status != omaha.StatusOK:
		return answer, fmt.Errorf("the update server answers %.40q to the update check", check.Status)
	case check.Manifest == nil || !release.ValidVersion(check.Manifest.Version):
		return answer, fmt.Errorf("%w: the server offers an update without a valid version", omaha.ErrProtocol)
	}
	addresses, err := addressesOf(o.Config.Server, check.URLs)
	if err != nil {
		return answer, err
	}
	answer.Offer = o.offer(check.Manifest.Version, addresses)
	return answer, nil
}

// addressesOf returns the addresses of the copies of a repository that a server offers.
func addressesOf(server string, urls []omaha.URL) ([]string, error) {
	from, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("update server %s: not a URL", redact.URL(server))
	}
	var addresses []string
	for _, address := range urls[:min(len(urls), maxURLs)] {
		u, err := url.Parse(address.CodeBase)
		if err != nil {
			return nil, fmt.Errorf("%w: the server offers an update at %.80q, which is not an HTTP URL", omaha.ErrProtocol, redact.URL(address.CodeBase))
		}
		if err := download.CheckAddress(from, u); err != nil {
			return nil, fmt.Errorf("%w: the server offers an update at an address that is refused: %w", omaha.ErrProtocol, err)
		}
		addresses = append(addresses, address.CodeBase)
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: the server offers an update without a URL", omaha.ErrProtocol)
	}
	return addresses, nil
}

// interval limits the interval that a server asks for to the range from 10 seconds to a
// day. A server that mistakes the unit is not flooded, and the machine does not stop
// asking.
func interval(seconds int) time.Duration {
	if seconds <= 0 {
		return 0
	}
	return min(max(time.Duration(min(seconds, 1<<30))*time.Second, 10*time.Second), 24*time.Hour)
}

// Report implements Server.
func (o Omaha) Report(ctx context.Context, events []omaha.EventRequest) error {
	app := o.Machine
	app.Events = events
	_, err := o.request(ctx, app, false)
	return err
}

// MachineID reads what identifies the machine to an Omaha server. Files are read below
// root.
func MachineID(root string, c *config.Config) omaha.AppRequest {
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(root, name))
		return strings.TrimSpace(string(text))
	}
	return omaha.AppRequest{
		ID: omaha.CoreOSAppID, Version: c.Version, Track: c.Group, Board: c.Board, Delta: true,
		MachineID: read("etc/machine-id"), BootID: read("proc/sys/kernel/random/boot_id"),
	}
}

// ErrNotRegular says that a bundle is a pipe, a device or a directory.
var ErrNotRegular = errors.New("it is not a regular file")

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	default:
		return "a device"
	}
}

// bundleOffer returns the offer of an update bundle. The caller closes the file.
func bundleOffer(ctx context.Context, file *os.File, trust Trust, board string) (*Offer, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %w but %s", repository.ErrBundle, ErrNotRegular, kindOf(info.Mode()))
	}
	bundle, err := repository.OpenBundle(file, info.Size())
	if err != nil {
		return nil, err
	}
	config, err := trust.client(bundle)
	if err != nil {
		return nil, err
	}
	client, err := repository.NewBundleClient(ctx, config)
	if err != nil {
		return nil, err
	}
	manifest, err := client.Manifest(ctx, board, bundle.Version)
	if err != nil {
		return nil, err
	}
	return &Offer{manifest.Version, func(context.Context) (*release.Manifest, slotwriter.Files, error) { return manifest, bundle, nil }}, nil
}
