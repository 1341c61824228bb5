package check

import (
	"context"
	"fmt"
	"time"

	"coreos/internal/etcd/certs"
	"coreos/internal/etcd/conn"
	"coreos/internal/etcd/datadir"
	"coreos/internal/etcd/member"
	"coreos/internal/etcd/settings"
)

// Collect gets the facts from the local member, which is at the first endpoint, from the
// other members, and from the machine. It fails if the local member does not answer.
func Collect(ctx context.Context, config conn.Config, env *settings.Settings, data string, now time.Time) (Facts, error) {
	config.Endpoints = config.Endpoints[:1]
	f := Facts{Now: now}
	var err error
	if f.Own, err = member.Status(ctx, config, config.Endpoints[0]); err != nil {
		return f, fmt.Errorf("etcd does not answer at %s: %w", config.Endpoints[0], err)
	}
	if err := f.ask(ctx, config); err != nil {
		return f, err
	}
	if free, all, err := datadir.Room(data); err == nil {
		f.Disk, f.DiskFree, f.DiskAll = data, free, all
	}
	for _, name := range []string{"ETCD_CERT_FILE", "ETCD_PEER_CERT_FILE"} {
		if file := env.Get(name); file != "" {
			c := Cert{File: file}
			if cert, err := certs.Read(file); err != nil {
				c.Err = err
			} else {
				c.Begins, c.Ends = cert.NotBefore, cert.NotAfter
			}
			f.Certs = append(f.Certs, c)
		}
	}
	return f, nil
}

// ask gets the facts on which the cluster has to agree.
func (f *Facts) ask(ctx context.Context, config conn.Config) error {
	cluster, err := member.Survey(ctx, config)
	if err != nil {
		f.NoList = err
		// By now the local member knows, too, whether the others are down.
		f.Own, err = member.Status(ctx, config, config.Endpoints[0])
		return err
	}
	f.Members = cluster.Members
	f.ownAnswers()
	f.Alarms, err = member.Alarms(ctx, config)
	return err
}

// ownAnswers marks the local member healthy if it answers here but not at the URL that it
// advertises: other members report that.
func (f *Facts) ownAnswers() {
	for i := range f.Members {
		if m := &f.Members[i]; m.ID == f.Own.Header.MemberId && m.Status == nil && f.Own.Leader != 0 {
			m.Status, m.Err = f.Own, nil
		}
	}
}
