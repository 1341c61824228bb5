package cluster

import (
	"context"
	"testing"
	"time"

	"coreos/internal/etcd/conn"
	"coreos/test/etcdtest"
)

// TestQuorum asks whether a cluster has a leader while members are cut off from each other
// or from the client, or do not run.
func TestQuorum(t *testing.T) {
	t.Parallel()
	c := etcdtest.New(t, 3, etcdtest.NoFsync())
	ctx := limit(t)
	client, err := conn.Dial(conn.Config{Endpoints: c.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	quorum := conn.NewQuorum(client)
	lost := func() bool {
		ctx, stop := context.WithTimeout(ctx, 2*time.Second)
		defer stop()
		return quorum.Lost(ctx)
	}
	each := func(do func(*etcdtest.Member) error, members ...int) {
		t.Helper()
		for _, i := range members {
			if err := do(c.Member(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// becomes waits until the answer is the wanted one, and then checks that it stays.
	becomes := func(want bool, what string) {
		t.Helper()
		for lost() != want {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%s: lost is not %v", what, want)
			}
		}
		for range 5 {
			if lost() != want {
				t.Fatalf("%s: lost does not stay %v", what, want)
			}
		}
	}
	healthy := func() {
		t.Helper()
		if err := c.WaitHealthy(ctx); err != nil {
			t.Fatal(err)
		}
		becomes(false, "all is well")
	}
	healthy()
	each((*etcdtest.Member).IsolatePeers, 0, 1, 2)
	becomes(true, "all are cut off from each other")
	each((*etcdtest.Member).Rejoin, 0, 1, 2)
	healthy()
	each((*etcdtest.Member).IsolatePeers, 0)
	becomes(false, "one is cut off from the others")
	each((*etcdtest.Member).Isolate, 1, 2)
	becomes(false, "only one without a leader can be reached")
	each((*etcdtest.Member).Rejoin, 0, 1, 2)
	healthy()
	each((*etcdtest.Member).Kill, 0, 1)
	becomes(false, "two do not run, and could be out of reach")
	each((*etcdtest.Member).Isolate, 2)
	becomes(false, "nobody can be reached")
}
