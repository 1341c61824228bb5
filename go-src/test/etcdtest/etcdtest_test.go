package etcdtest

import (
	"context"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// put writes through one member.
func put(t *testing.T, c *Cluster, i int, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Member(i).do(func(client *clientv3.Client) error {
		_, err := client.Put(ctx, "key", "value")
		return err
	})
}

func TestFaults(t *testing.T) {
	c := New(t, 3, NoFsync())
	tests := []struct {
		name       string
		fail, mend func(*Member) error
	}{
		{"kill", (*Member).Kill, (*Member).Start},
		{"pause", (*Member).Pause, (*Member).Resume},
		{"isolate", (*Member).Isolate, (*Member).Rejoin},
		{"isolate from peers", (*Member).IsolatePeers, (*Member).Rejoin},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), Start)
			defer cancel()
			leader, err := c.Leader(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.fail(c.Member(leader)); err != nil {
				t.Fatal(err)
			}
			if err := put(t, c, leader, 700*time.Millisecond); err == nil {
				t.Error("a member that is cut off took a write")
			}
			others := []int{(leader + 1) % 3, (leader + 2) % 3}
			if err := c.WaitHealthy(ctx, others...); err != nil {
				t.Fatal(err)
			}
			if err := put(t, c, others[0], 10*time.Second); err != nil {
				t.Errorf("the others do not go on: %v", err)
			}
			if err := test.mend(c.Member(leader)); err != nil {
				t.Fatal(err)
			}
			if err := c.WaitHealthy(ctx); err != nil {
				t.Fatal(err)
			}
			if err := put(t, c, leader, 10*time.Second); err != nil {
				t.Errorf("it does not come back: %v", err)
			}
		})
	}
}

func TestParallel(t *testing.T) {
	for range 2 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			c := New(t, 1, NoFsync())
			got, err := c.Client(t).MemberList(t.Context())
			if err != nil || len(got.Members) != 1 {
				t.Errorf("got %v, %v", got, err)
			}
			if _, err := os.Stat(c.Member(0).DataDir()); err != nil {
				t.Error(err)
			}
		})
	}
}
