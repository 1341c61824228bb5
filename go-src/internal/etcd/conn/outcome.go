package conn

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// Delivery knows whether requests were sent to etcd. If a request fails that was not sent, it has
// certainly done nothing.
type Delivery struct{ sent atomic.Bool }

type deliveryKey struct{}

// Track returns a context for requests, and their delivery. The client must have the option Tracked.
func Track(ctx context.Context) (context.Context, *Delivery) {
	d := &Delivery{}
	return context.WithValue(ctx, deliveryKey{}, d), d
}

// NotDone reports whether a write has certainly not happened that ended with an error: etcd has refused
// it, or it was never sent. Otherwise it may have happened, and only its answer was lost.
func (d *Delivery) NotDone(err error) bool { return err != nil && (!d.sent.Load() || refused(err)) }

// refusals are the codes with which etcd refuses a request before it does anything.
var refusals = []codes.Code{
	codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.ResourceExhausted,
	codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.DataLoss, codes.Unauthenticated,
}

// refused reports whether etcd has refused a request.
func refused(err error) bool {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return slices.Contains(refusals, e.Code()) || errors.Is(err, rpctypes.ErrNoLeader)
	}
	return slices.Contains(refusals, status.Code(err))
}

// Tracked is the option of clients whose requests Track follows.
func Tracked() grpc.DialOption { return grpc.WithStatsHandler(tracker{}) }

// tracker hears of each request that gRPC sends.
type tracker struct{}

// HandleRPC implements stats.Handler.
func (tracker) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, is := s.(*stats.OutHeader); !is {
		return
	}
	if d, is := ctx.Value(deliveryKey{}).(*Delivery); is {
		d.sent.Store(true)
	}
}

// TagRPC implements stats.Handler.
func (tracker) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (tracker) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (tracker) HandleConn(context.Context, stats.ConnStats) {}
