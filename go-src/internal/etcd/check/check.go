// Package check finds what is about to stop an etcd cluster: a database near its quota, a
// disk that is nearly full, members that are down, certificates that expire.
package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/defrag"
	"coreos/internal/etcd/member"
)

// Thresholds of warnings.
const (
	quotaShare = 0.8                 // the part of its quota that the database uses
	diskShare  = 0.1                 // the part of the file system that is free,
	diskBytes  = 4 << 30             // unless this much is free
	certTime   = 21 * 24 * time.Hour // until a certificate expires
	lag        = 5000                // the entries that a member is behind
)

// Facts are the state of the cluster and of the machine.
type Facts struct {
	Now     time.Time
	Own     *clientv3.StatusResponse // of the local member
	Members []member.Member          // nil if they are not known
	NoList  error                    // why they are not known
	Alarms  []*etcdserverpb.AlarmMember

	Disk              string // the data directory; "" if its space is not known
	DiskFree, DiskAll int64  // bytes

	Certs []Cert
}

// Cert is a certificate that the member uses.
type Cert struct {
	File         string
	Begins, Ends time.Time
	Err          error // why the file could not be read
}

// Level is the severity of a finding.
type Level int

// Levels. Warning: something will stop. Alarm: something has stopped.
const (
	OK Level = iota
	Warning
	Alarm
)

func (l Level) String() string { return [...]string{"OK", "WARNING", "ALARM"}[l] }

// Finding is one line for the operator: what is wrong and what to do.
type Finding struct {
	Level Level
	Text  string
}

func (f Finding) String() string { return f.Level.String() + ": " + f.Text }

// Decide returns the findings, at least one, the worst first.
func Decide(f Facts) []Finding {
	findings := slices.Concat(f.alarms(), f.cluster(), f.quota(), f.disk(), f.certs())
	slices.SortStableFunc(findings, func(a, b Finding) int { return int(b.Level - a.Level) })
	return findings
}

func (f Facts) name(id uint64) string {
	for _, m := range f.Members {
		if m.ID == id {
			return m.String()
		}
	}
	return fmt.Sprintf("%x", id)
}

func (f Facts) alarms() (findings []Finding) {
	for _, alarm := range f.Alarms {
		switch alarm.Alarm {
		case etcdserverpb.AlarmType_NOSPACE:
			findings = append(findings, Finding{Alarm, fmt.Sprintf("etcd takes no writes: the database of %s has reached its quota: compact (etcdctl compact), run etcd-memberctl defrag --without-lock on one machine after the other, or raise ETCD_QUOTA_BACKEND_BYTES; then etcdctl alarm disarm", f.name(alarm.MemberID))})
		case etcdserverpb.AlarmType_CORRUPT:
			findings = append(findings, Finding{Alarm, fmt.Sprintf("the data of %s differ from the others': stop it, and give it new data with etcd-memberctl replace --wipe", f.name(alarm.MemberID))})
		default:
			findings = append(findings, Finding{Alarm, fmt.Sprintf("%v at %s", alarm.Alarm, f.name(alarm.MemberID))})
		}
	}
	return findings
}

func (f Facts) cluster() (findings []Finding) {
	if f.Own.Leader == 0 {
		return []Finding{{Alarm, "the cluster has no leader: most of its members are down, or cannot reach each other"}}
	}
	if f.NoList != nil {
		return []Finding{{Warning, fmt.Sprintf("the cluster's members are not known: %v", f.NoList)}}
	}
	c := member.Cluster{Members: f.Members}
	voters, healthy := c.Voters()
	for _, m := range f.Members {
		switch {
		case !m.Healthy():
			findings = append(findings, Finding{Warning, fmt.Sprintf("%v is not well, %s: %v; if it does not come back: etcd-memberctl replace", m, spare(voters, healthy), m.Err)})
		case m.Learner:
			findings = append(findings, Finding{Warning, fmt.Sprintf("%v has no vote: run etcd-memberctl replace on it again, or etcdctl member promote %x", m, m.ID)})
		case f.Own.RaftIndex > m.Status.RaftAppliedIndex+lag:
			findings = append(findings, Finding{Warning, fmt.Sprintf("%v is %d entries behind: look at its disk and its network", m, f.Own.RaftIndex-m.Status.RaftAppliedIndex)})
		}
	}
	if len(findings) == 0 {
		findings = append(findings, Finding{OK, fmt.Sprintf("%d of %d members are well", healthy, voters)})
	}
	return findings
}

// spare describes how many more members the cluster can lose.
func spare(voters, healthy int) string {
	switch n := healthy - member.Quorum(voters); {
	case n < 0:
		return "and the cluster stands still"
	case n == 0:
		return "and without one more the cluster stands still"
	default:
		return fmt.Sprintf("and the cluster can lose %d more", n)
	}
}

func (f Facts) quota() []Finding {
	quota := f.Own.DbSizeQuota
	if quota <= 0 { // no quota, or an etcd before 3.6, which does not report it
		return []Finding{{OK, fmt.Sprintf("the database has %s", size(f.Own.DbSize))}}
	}
	share, used := percent(f.Own.DbSize, quota), percent(f.Own.DbSizeInUse, quota)
	text := fmt.Sprintf("the database has %d %% of its quota, %s of %s", share, size(f.Own.DbSize), size(quota))
	switch {
	case float64(f.Own.DbSize) < quotaShare*float64(quota):
		if defrag.Worth(f.Own) {
			text += fmt.Sprintf(", of which %s are unused; etcd-defrag.timer gives them back", size(f.Own.DbSize-f.Own.DbSizeInUse))
		}
		return []Finding{{OK, text}}
	case defrag.Worth(f.Own):
		text += fmt.Sprintf(", and uses %d %%; run etcd-memberctl defrag, or raise ETCD_QUOTA_BACKEND_BYTES", used)
	default:
		text += "; compact and delete (etcdctl), or raise ETCD_QUOTA_BACKEND_BYTES: at 100 % etcd takes no writes"
	}
	return []Finding{{Warning, text}}
}

func percent(part, all int64) int64 { return int64(100 * float64(part) / float64(all)) }

// size formats a number of bytes in MB, or in GB if it is large.
func size(bytes int64) string {
	if bytes >= 10<<30 {
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20))
}

func (f Facts) disk() []Finding {
	if f.Disk == "" {
		return nil
	}
	text := fmt.Sprintf("%s free of %s at %s", size(f.DiskFree), size(f.DiskAll), f.Disk)
	if float64(f.DiskFree) < diskShare*float64(f.DiskAll) && f.DiskFree < diskBytes {
		return []Finding{{Warning, text + ": etcd ends when it cannot write; delete what is not needed there, or take a larger disk"}}
	}
	if f.DiskFree < f.Own.DbSizeInUse {
		return []Finding{{Warning, text + ": too little for a snapshot, or for etcd-memberctl defrag"}}
	}
	return []Finding{{OK, text}}
}

func (f Facts) certs() (findings []Finding) {
	for _, c := range f.Certs {
		switch left := c.Ends.Sub(f.Now); {
		case c.Err != nil:
			findings = append(findings, Finding{Warning, fmt.Sprintf("certificate: %v", c.Err)})
		case c.Begins.After(f.Now):
			findings = append(findings, Finding{Alarm, fmt.Sprintf("%s begins on %s, and this machine's clock says %s: set the clock, or, if the certificate was made while a clock was ahead, make it again with etcd-memberctl certs", c.File, c.Begins.UTC().Format(time.DateOnly), f.Now.UTC().Format(time.DateOnly))})
		case left <= 0:
			findings = append(findings, Finding{Alarm, fmt.Sprintf("%s ended on %s: renew it with etcd-memberctl certs", c.File, c.Ends.UTC().Format(time.DateOnly))})
		case left < certTime:
			findings = append(findings, Finding{Warning, fmt.Sprintf("%s ends in %d days: renew it with etcd-memberctl certs", c.File, left/(24*time.Hour))})
		}
	}
	return findings
}

// Status returns the line for systemctl status: the worst finding and the number of the
// others, or all findings if none is bad.
func Status(findings []Finding) string {
	worst := findings[0]
	if worst.Level > OK {
		bad := slices.IndexFunc(findings, func(f Finding) bool { return f.Level == OK })
		if bad < 0 {
			bad = len(findings)
		}
		if bad > 1 {
			return fmt.Sprintf("%v (and %d more: etcd-memberctl check)", worst, bad-1)
		}
		return worst.String()
	}
	texts := make([]string, len(findings))
	for i, f := range findings {
		texts[i] = f.Text
	}
	return strings.Join(texts, "; ")
}
