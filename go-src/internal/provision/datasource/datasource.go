// Package datasource gets a machine's configuration from wherever its platform keeps it:
// files, drives, firmware, metadata servers. It gives the configuration as it is, called
// user-data, and what the platform itself says about the machine, called metadata. What
// they mean and how they are applied is not decided here.
package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"coreos/internal/provision/packed"
)

// Source is a place that may hold a machine's configuration.
type Source interface {
	// Name is as in messages: "ec2-metadata at http://169.254.169.254/".
	Name() string
	// Fetch asks once, and returns as soon as ctx is done. An error that is none of
	// ErrAbsent, ErrInvalid and ErrTooLarge may go away by itself.
	Fetch(ctx context.Context) (*Data, error)
}

// Errors of sources. With each of them, asking again does not help.
var (
	// ErrAbsent: this machine has no such source.
	ErrAbsent = errors.New("not on this machine")
	// ErrInvalid: the source is there, and refuses to answer or answers nonsense.
	ErrInvalid = errors.New("of no use")
	// ErrTooLarge: the source has more than is taken from it.
	ErrTooLarge = packed.ErrTooLarge
)

// Bounds of what is taken from a source, in bytes.
const (
	// MaxUserData bounds user-data, both as the source gives it and unpacked.
	MaxUserData = 4 << 20
	// maxDocument bounds a document that says many things, maxValue a single value.
	maxDocument = 1 << 20
	maxValue    = 64 << 10
)

// Data is what a source has.
type Data struct {
	// Source is the name of the source.
	Source string
	// UserData is the configuration, empty if there is none. The source may have it
	// packed by gzip; here it is unpacked.
	UserData []byte
	Metadata Metadata
	// ReadyAt is where to ReportReady that the machine is up; empty if nobody asks.
	ReadyAt string
	// Root is the directory that files named by the metadata lie in, of a config
	// drive or of Azure's agent; empty for other sources.
	Root string
}

// Metadata is what a platform says about a machine. The zero value says nothing.
type Metadata struct {
	// Hostname has no white space in it. Nothing else is checked about it.
	Hostname string
	// SSHKeys are lines of an authorized_keys file, in the order of the source,
	// without duplicates.
	SSHKeys []string
	// The machine's addresses; the zero address if unknown.
	PrivateIPv4, PublicIPv4, PrivateIPv6, PublicIPv6 netip.Addr
	Network                                          Network
}

// source is what every constructor returns. What is the same for all sources happens in
// its Fetch.
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
	data.UserData, err = unpack(data.UserData)
	if err != nil {
		return nil, fmt.Errorf("%s: user-data: %w", s.name, err)
	}
	// Some platforms put all names of a machine here.
	data.Metadata.Hostname, _, _ = strings.Cut(strings.Join(strings.Fields(data.Metadata.Hostname), " "), " ")
	data.Metadata.SSHKeys = lines(data.Metadata.SSHKeys)
	return data, nil
}

// lines takes keys apart that share a string, and drops those that occurred before.
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

// isFinal tells whether asking again does not help.
func isFinal(err error) bool {
	return err == nil || errors.Is(err, ErrAbsent) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrTooLarge)
}
