package check

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"coreos/internal/etcd/member"
)

const (
	mb  = 1 << 20
	day = 24 * time.Hour
)

var now = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// well are the facts of a cluster in which nothing is wrong.
func well() Facts {
	f := Facts{
		Now:  now,
		Own:  &clientv3.StatusResponse{Leader: 1, DbSize: 100 * mb, DbSizeInUse: 90 * mb, DbSizeQuota: 2048 * mb, RaftIndex: 10000},
		Disk: "/var/lib/etcd", DiskFree: 8000 * mb, DiskAll: 10000 * mb,
		Certs: []Cert{{File: "server.crt", Ends: now.Add(100 * day)}},
	}
	for i, name := range []string{"m0", "m1", "m2"} {
		f.Members = append(f.Members, member.Member{ID: uint64(i + 1), Name: name, Status: &clientv3.StatusResponse{RaftAppliedIndex: 10000}})
	}
	return f
}

func TestDecide(t *testing.T) {
	gone := errors.New("connection refused")
	tests := []struct {
		name   string
		change func(*Facts)
		level  Level
		want   string // of the first finding
	}{
		{"all is well", func(*Facts) {}, OK, "OK: 3 of 3 members are well"},
		{"quota, unused", func(f *Facts) { f.Own.DbSize = 1762 * mb }, Warning, "WARNING: the database has 86 % of its quota, 1762.0 MB of 2048.0 MB, and uses 4 %; run etcd-memberctl defrag, or raise ETCD_QUOTA_BACKEND_BYTES"},
		{"quota, used", func(f *Facts) { f.Own.DbSize, f.Own.DbSizeInUse = 1762*mb, 1700*mb }, Warning, "compact and delete"},
		{"below the quota", func(f *Facts) { f.Own.DbSize = 1600 * mb }, OK, "OK"},
		{"no quota", func(f *Facts) { f.Own.DbSize, f.Own.DbSizeQuota = 5000*mb, -1 }, OK, "OK"},
		{"no space", func(f *Facts) {
			f.Alarms = []*etcdserverpb.AlarmMember{{MemberID: 2, Alarm: etcdserverpb.AlarmType_NOSPACE}}
		}, Alarm, "ALARM: etcd takes no writes: the database of m1 (2)"},
		{"corrupt", func(f *Facts) {
			f.Alarms = []*etcdserverpb.AlarmMember{{MemberID: 9, Alarm: etcdserverpb.AlarmType_CORRUPT}}
		}, Alarm, "the data of 9 differ"},
		{"a member is gone", func(f *Facts) { f.Members[1].Err = gone }, Warning, "WARNING: m1 (2) is not well, and without one more the cluster stands still: connection refused; if it does not come back: etcd-memberctl replace"},
		{"two are gone", func(f *Facts) { f.Members[1].Err, f.Members[2].Err = gone, gone }, Warning, "and the cluster stands still"},
		{"one of five", func(f *Facts) {
			f.Members = append(f.Members, f.Members[0], f.Members[0])
			f.Members[1].Err = gone
		}, Warning, "and the cluster can lose 1 more"},
		{"a learner", func(f *Facts) { f.Members[2].Learner = true }, Warning, "has no vote"},
		{"a member lags", func(f *Facts) { f.Members[2].Status = &clientv3.StatusResponse{RaftAppliedIndex: 100} }, Warning, "9900 entries behind"},
		{"no leader", func(f *Facts) { f.Own.Leader, f.Members, f.NoList = 0, nil, gone }, Alarm, "ALARM: the cluster has no leader"},
		{"no list", func(f *Facts) { f.Members, f.NoList = nil, gone }, Warning, "members are not known"},
		{"disk nearly full", func(f *Facts) { f.DiskFree = 900 * mb }, Warning, "900.0 MB free of 10000.0 MB at /var/lib/etcd"},
		{"no room for a copy", func(f *Facts) { f.Own.DbSizeInUse, f.DiskFree, f.DiskAll = 1000*mb, 500*mb, 1000*mb }, Warning, "too little for a snapshot"},
		{"certificate", func(f *Facts) { f.Certs[0].Ends = now.Add(5*day + time.Hour) }, Warning, "server.crt ends in 5 days"},
		{"certificate ended", func(f *Facts) { f.Certs[0].Ends = now.Add(-day) }, Alarm, "server.crt ended on 2026-05-05"},
		{"certificate of the future", func(f *Facts) { f.Certs[0].Begins = now.Add(day) }, Alarm, "server.crt begins on 2026-05-07, and this machine's clock says 2026-05-06"},
		{"no certificate", func(f *Facts) { f.Certs[0].Err = errors.New("open server.crt: permission denied") }, Warning, "permission denied"},
		{"the worst first", func(f *Facts) {
			f.DiskFree = 0
			f.Certs[0].Ends = now.Add(-day)
		}, Alarm, "server.crt ended"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := well()
			test.change(&f)
			got := Decide(f)
			if got[0].Level != test.level || !strings.Contains(got[0].String(), test.want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	f := well()
	if got, want := Status(Decide(f)), "3 of 3 members are well; the database has 4 % of its quota, 100.0 MB of 2048.0 MB; 8000.0 MB free of 10000.0 MB at /var/lib/etcd"; got != want {
		t.Errorf("got %q", got)
	}
	f.DiskFree = 0
	if got := Status(Decide(f)); strings.Contains(got, "more") || !strings.HasPrefix(got, "WARNING: 0.0 MB free") {
		t.Errorf("got %q", got)
	}
	f.Members[0].Learner = true
	if got := Status(Decide(f)); !strings.HasSuffix(got, "(and 1 more: etcd-memberctl check)") {
		t.Errorf("got %q", got)
	}
}
