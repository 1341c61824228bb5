package fleettest

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Get implements clientv3.KV.
func (c *Client) Get(ctx context.Context, key string, options ...clientv3.OpOption) (answer *clientv3.GetResponse, err error) {
	var refused error
	err = c.call(ctx, func(e *Etcd) {
		answer, refused = (*clientv3.GetResponse)(e.get(clientv3.OpGet(key, options...))), e.refused(false)
	})
	return answer, errors.Join(err, refused)
}

// Put implements clientv3.KV.
func (c *Client) Put(ctx context.Context, key, value string, options ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	_, err := c.Txn(ctx).Then(clientv3.OpPut(key, value, options...)).Commit()
	return &clientv3.PutResponse{}, err
}

// Delete implements clientv3.KV.
func (c *Client) Delete(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	_, err := c.Txn(ctx).Then(clientv3.OpDelete(key, options...)).Commit()
	return &clientv3.DeleteResponse{}, err
}

// Do implements clientv3.KV, for puts.
func (c *Client) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	_, err := c.Txn(ctx).Then(op).Commit()
	return clientv3.OpResponse{}, err
}

// Txn implements clientv3.KV.
func (c *Client) Txn(ctx context.Context) clientv3.Txn { return &txn{client: c, ctx: ctx} }

type txn struct {
	client   *Client
	ctx      context.Context
	is       []clientv3.Cmp
	then, or []clientv3.Op
}

func (t *txn) If(is ...clientv3.Cmp) clientv3.Txn { t.is = is; return t }

func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn { t.then = ops; return t }

func (t *txn) Else(ops ...clientv3.Op) clientv3.Txn { t.or = ops; return t }

func (t *txn) Commit() (answer *clientv3.TxnResponse, err error) {
	var refused error
	err = t.client.call(t.ctx, func(e *Etcd) {
		t.client.write(func() {
			response, err := e.txn(t.is, t.then, t.or)
			answer, refused = (*clientv3.TxnResponse)(response), err
		})
	})
	if err == nil {
		err = refused
	}
	return answer, err
}
