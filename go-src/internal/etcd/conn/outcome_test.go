package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNotDone(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{rpctypes.ErrNoSpace, true},
		{rpctypes.ErrGRPCNoSpace, true},
		{fmt.Errorf("writing: %w", rpctypes.ErrCorrupt), true},
		{rpctypes.ErrNoLeader, true},
		{rpctypes.ErrTooManyRequests, true},
		{rpctypes.ErrPermissionDenied, true},
		{rpctypes.ErrTimeout, false},
		{rpctypes.ErrTimeoutDueToLeaderFail, false},
		{rpctypes.ErrLeaderChanged, false},
		{rpctypes.ErrStopped, false},
		{context.DeadlineExceeded, false},
		{status.Error(codes.Unavailable, "error reading from server: EOF"), false},
		{errors.New("something else"), false},
	} {
		d := &Delivery{}
		d.sent.Store(true)
		if got := d.NotDone(test.err); got != test.want {
			t.Errorf("%v: %t", test.err, got)
		}
	}
}

// TestNotDoneUnsent has nobody at etcd's address, which is noticed at once, or never.
func TestNotDoneUnsent(t *testing.T) {
	for what, limit := range map[string]time.Duration{"it is refused": 2 * time.Second, "time is over": 300 * time.Millisecond} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		client, err := Dial(Config{Endpoints: []string{"http://" + l.Addr().String()}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), limit)
		ctx, d := Track(ctx)
		_, err = client.Txn(ctx).Then(clientv3.OpPut("a", "b")).Commit()
		stop()
		_ = client.Close()
		if err == nil || !d.NotDone(err) {
			t.Errorf("%s: %v counts as a write that may have happened", what, err)
		}
	}
}

// TestNotDoneSent has somebody at etcd's address who takes the request and does not answer.
func TestNotDoneSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go silent(l)
	client, err := Dial(Config{Endpoints: []string{"http://" + l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	ctx, d := Track(ctx)
	if _, err = client.Txn(ctx).Then(clientv3.OpPut("a", "b")).Commit(); err == nil || d.NotDone(err) {
		t.Errorf("%v counts as a write that has not happened", err)
	}
}

// silent accepts connections, speaks as much of HTTP/2 as a client needs to send a request, and nothing
// more.
func silent(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // an empty SETTINGS frame
			for buf := make([]byte, 4096); ; {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		}()
	}
}
