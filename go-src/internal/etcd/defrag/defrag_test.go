package defrag

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestWorth(t *testing.T) {
	const mb = 1 << 20
	for name, test := range map[string]struct {
		size, inUse int64
		want        bool
	}{
		"empty":         {0, 0, false},
		"small":         {60 * mb, 1 * mb, false},
		"much unused":   {200 * mb, 100 * mb, true},
		"a small share": {1000 * mb, 800 * mb, false},
		"a third":       {1000 * mb, 650 * mb, true},
	} {
		status := &clientv3.StatusResponse{DbSize: test.size, DbSizeInUse: test.inUse}
		if got := Worth(status); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
