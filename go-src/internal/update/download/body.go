package download

import (
	"context"
	"errors"
	"io"
	"time"
)

// body is the body of a response. Reads are limited to the bandwidth, and fail if the
// server is too slow. Only the time that a read waits for the server counts.
type body struct {
	io.ReadCloser
	client *Client
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	waited time.Duration
	read   int64
}

func (b *body) Read(p []byte) (int, error) {
	p = p[:min(len(p), burst)]
	b.timer.Reset(b.client.options.Stall + time.Duration(b.read)*time.Second/slowest - b.waited)
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.waited += time.Since(start)
	b.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = cause(b.ctx, err)
	}
	if err == nil || errors.Is(err, io.EOF) {
		if limited := b.client.limiter.WaitN(b.ctx, n); limited != nil {
			err = cause(b.ctx, limited)
		}
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
