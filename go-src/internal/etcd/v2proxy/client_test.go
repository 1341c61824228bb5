package v2proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	clientv2 "go.etcd.io/etcd/client/v2"
)

func newV2(t *testing.T) (clientv2.Client, clientv2.KeysAPI) {
	t.Helper()
	base, _ := newFront(t, Limits{})
	client, err := clientv2.New(clientv2.Config{Endpoints: []string{base}, Transport: http.DefaultTransport.(*http.Transport).Clone()})
	if err != nil {
		t.Fatal(err)
	}
	return client, clientv2.NewKeysAPI(client)
}

// code is the errorCode of an error of the client's.
func code(err error) int {
	var e clientv2.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// TestClient uses etcd 2's own client.
func TestClient(t *testing.T) {
	client, keys := newV2(t)
	ctx := t.Context()
	if err := client.Sync(ctx); err != nil {
		t.Fatalf("sync: %v", err)
	}
	version, err := client.GetVersion(ctx)
	if err != nil || !strings.HasPrefix(version.Server, "3.") {
		t.Errorf("version %v, %v", version, err)
	}
	created, err := keys.Create(ctx, "/client/a", "1")
	if err != nil || created.Action != Create || created.Index == 0 || created.Node.ModifiedIndex != created.Index {
		t.Fatalf("create: %+v, %v", created, err)
	}
	if _, err := keys.Create(ctx, "/client/a", "1"); code(err) != clientv2.ErrorCodeNodeExist {
		t.Errorf("create again: %v", err)
	}
	updated, err := keys.Update(ctx, "/client/a", "2")
	if err != nil || updated.PrevNode.Value != "1" || updated.Node.CreatedIndex != created.Index {
		t.Errorf("update: %+v, %v", updated, err)
	}
	if _, err := keys.Update(ctx, "/client/no", "2"); !clientv2.IsKeyNotFound(err) {
		t.Errorf("update of nothing: %v", err)
	}
	if _, err := keys.Set(ctx, "/client/a", "3", &clientv2.SetOptions{PrevIndex: created.Index}); code(err) != clientv2.ErrorCodeTestFailed {
		t.Errorf("set with an old index: %v", err)
	}
	swapped, err := keys.Set(ctx, "/client/a", "3", &clientv2.SetOptions{PrevIndex: updated.Index, PrevValue: "2", TTL: time.Minute})
	if err != nil || swapped.Action != CompareAndSwap || swapped.Node.TTL != 60 {
		t.Errorf("swap: %+v, %v", swapped, err)
	}
	got, err := keys.Get(ctx, "/client", &clientv2.GetOptions{Recursive: true, Sort: true, Quorum: true})
	if err != nil || len(got.Node.Nodes) != 1 || got.Node.Nodes[0].Value != "3" || got.ClusterID == "" {
		t.Errorf("get: %+v, %v", got, err)
	}
	if _, err := keys.Delete(ctx, "/client", &clientv2.DeleteOptions{Dir: true}); code(err) != clientv2.ErrorCodeDirNotEmpty {
		t.Errorf("delete a full directory: %v", err)
	}
	if _, err := keys.Delete(ctx, "/client/a", &clientv2.DeleteOptions{PrevIndex: swapped.Index}); err != nil {
		t.Errorf("delete: %v", err)
	}
	members, err := clientv2.NewMembersAPI(client).List(ctx)
	if err != nil || len(members) != 1 {
		t.Errorf("members %v, %v", members, err)
	}
	leader, err := clientv2.NewMembersAPI(client).Leader(ctx)
	if err != nil || leader.ID != members[0].ID {
		t.Errorf("leader %v, %v", leader, err)
	}
}

// TestWatcher sees each event once, also those from before it began.
func TestWatcher(t *testing.T) {
	_, keys := newV2(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	first, err := keys.Set(ctx, "/watcher/0", "0", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := 1; i < 20; i++ {
			_, _ = keys.Set(ctx, fmt.Sprintf("/watcher/%d", i), fmt.Sprint(i), nil)
		}
	}()
	w := keys.Watcher("/watcher", &clientv2.WatcherOptions{Recursive: true, AfterIndex: first.Index})
	for i := 1; i < 20; i++ {
		got, err := w.Next(ctx)
		if err != nil || got.Node.Value != fmt.Sprint(i) || got.Action != Set {
			t.Fatalf("event %d: %+v, %v", i, got, err)
		}
	}
}

// TestCreateInOrder creates at the same time through several proxies: the order of the
// names is that of the creations, and no creation that ended before another began comes
// after it.
func TestCreateInOrder(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		_, keys := newV2(t)
		group.Go(func() {
			last := ""
			for range 25 {
				got, err := keys.CreateInOrder(t.Context(), "/queue", "x", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got.Node.Key <= last {
					t.Errorf("%s after %s", got.Node.Key, last)
				}
				last = got.Node.Key
			}
		})
	}
	group.Wait()
	_, keys := newV2(t)
	got, err := keys.Get(t.Context(), "/queue", &clientv2.GetOptions{Sort: true})
	if err != nil || len(got.Node.Nodes) != 100 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, n := range got.Node.Nodes[1:] {
		if before := got.Node.Nodes[i]; n.CreatedIndex <= before.CreatedIndex || len(n.Key) != len("/queue/")+20 {
			t.Errorf("%s of %d after %s of %d", n.Key, n.CreatedIndex, before.Key, before.CreatedIndex)
		}
	}
}
