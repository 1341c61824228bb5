// Package datasource gets the configuration of a machine from its platform: from files,
// drives, firmware and metadata servers. It returns the raw configuration, called
// user-data, and what the platform itself describes, called metadata. Other packages
// interpret and apply them.
package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"coreos/internal/host/bounded"
)

// Source is a place that may have the configuration of a machine.
type Source interface {
	// Name is the name in messages, such as "ec2-metadata at http://169.254.169.254/".
	Name() string
	// Fetch asks the source once. It returns as soon as ctx is done. An error other than
	// ErrAbsent, ErrInvalid and ErrTooLarge may be temporary.
	Fetch(ctx context.Context) (*Data, error)
}

// Permanent errors of sources.
var (
	// ErrAbsent: this machine does not have the source.
	ErrAbsent = errors.New("not on this machine")
	// ErrInvalid: the source refuses to answer, or its answer is not valid.
	ErrInvalid = errors.New("not valid")
	// ErrTooLarge: the answer exceeds a limit.
	ErrTooLarge = bounded.ErrTooLarge
)

// Size limits in bytes.
const (
	// MaxUserData is the limit of user-data, both packed and unpacked.
	MaxUserData = 4 << 20
	// maxDocument is the limit of a document, maxValue of a single value.
	maxDocument = 1 << 20
	maxValue    = 64 << 10
)

// Data is the answer of a source.
type Data struct {
	// Source is the name of the source.
	Source string
	// UserData is the configuration, empty if there is none. It is unpacked if the source
	// has it packed by gzip.
	UserData []byte
	Metadata Metadata
	// Undecoded says why the user-data could not be decoded; UserData is empty then. A source
	// that has no keys either returns it as its error.
	Undecoded error
	// ReadyAt is the URL for ReportReady, empty if the platform expects no report.
	ReadyAt string
	// Root is the directory of the files that the metadata names, for a config drive and
	// for the agent of Azure.
	Root string
	// Accept, if it is not nil, is called before the configuration is applied. If it returns
	// an error, nothing is applied.
	Accept func() error
}

// Metadata is what the platform describes. Fields that are not known are zero.
type Metadata struct {
	// Instance is what the platform calls the machine, such as i-0a1b2c or a UUID. Only
	// OpenStack's and EC2's documents have it.
	Instance string
	// Hostname has no white space. It is not checked otherwise.
	Hostname string
	// SSHKeys are lines of an authorized_keys file, in the order of the source, without
	// duplicates.
	SSHKeys []string
	// The addresses of the machine; the zero address if not known.
	PrivateIPv4, PublicIPv4, PrivateIPv6, PublicIPv6 netip.Addr
	Network                                          Network
	// Problems name the entries that are not valid. They were left out; the others count.
	Problems []string
}

// source implements Source. Its Fetch does what is common to all sources.
type source struct {
	name  string
	fetch func(ctx context.Context) (*Data, error)
}

func (s source) Name() string { return s.name }

func (s source) Fetch(ctx context.Context) (*Data, error) {
	data, err := s.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	data.Source = s.name
	if data.Undecoded == nil {
		data.UserData, data.Undecoded = unpack(data.UserData)
	}
	// Some platforms give several names.
	data.Metadata.Hostname, _, _ = strings.Cut(strings.Join(strings.Fields(data.Metadata.Hostname), " "), " ")
	data.Metadata.SSHKeys = lines(data.Metadata.SSHKeys)
	if err := data.Undecoded; err != nil {
		data.UserData = nil
		// Somebody has to log in to see what is wrong.
		if len(data.Metadata.SSHKeys) == 0 {
			return nil, fmt.Errorf("%s: user-data: %w", s.name, err)
		}
	}
	return data, nil
}

// lines splits strings with several keys, and removes duplicates.
func lines(keys []string) []string {
	var got []string
	for _, key := range keys {
		for line := range strings.FieldsFuncSeq(key, func(r rune) bool { return r == '\n' || r == '\r' }) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") && !slices.Contains(got, line) {
				got = append(got, line)
			}
		}
	}
	return got
}

// isFinal reports whether the error is nil or permanent.
func isFinal(err error) bool {
	return err == nil || errors.Is(err, ErrAbsent) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrTooLarge)
}
