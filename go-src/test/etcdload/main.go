// Command etcdload puts a load on etcd from within a machine of the benchmarks, and
// prints how many requests a second were answered.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// keys are written and read in turns; a value has that many bytes.
const (
	keys      = 1000
	valueSize = 256
)

// request sends one request for the key with a number.
type request func(ctx context.Context, key int) error

func main() {
	endpoint := flag.String("endpoint", "http://127.0.0.1:2379", "URL of etcd")
	api := flag.String("api", "v3", "v3, or v2 for /v2/keys")
	reads := flag.Bool("read", false, "read instead of writing")
	clients := flag.Int("clients", 16, "how many requests are under way at a time")
	length := flag.Duration("for", 5*time.Second, "how long")
	flag.Parse()
	send, err := sender(*api, *endpoint, *reads)
	if err == nil {
		err = load(send, *clients, *length)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcdload:", err)
		os.Exit(1)
	}
}

// load keeps clients sending for a time.
func load(send request, clients int, length time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var answered, failed atomic.Int64
	var running sync.WaitGroup
	start := time.Now()
	for i := range clients {
		running.Go(func() {
			for key := i; ctx.Err() == nil; key = (key + clients) % keys {
				if err := send(ctx, key); err == nil {
					answered.Add(1)
				} else if ctx.Err() == nil {
					failed.Add(1)
				}
			}
		})
	}
	running.Wait()
	if failed.Load() > 0 || answered.Load() == 0 {
		return fmt.Errorf("%d requests failed, %d were answered", failed.Load(), answered.Load())
	}
	fmt.Printf("%.1f\n", float64(answered.Load())/time.Since(start).Seconds())
	return nil
}

var value = strings.Repeat("x", valueSize)

func sender(api, endpoint string, reads bool) (request, error) {
	if api == "v2" {
		return v2(endpoint, reads), nil
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, key int) (err error) {
		name := fmt.Sprintf("/load/%d", key)
		if reads {
			_, err = client.Get(ctx, name)
		} else {
			_, err = client.Put(ctx, name, value)
		}
		return err
	}, nil
}

func v2(endpoint string, reads bool) request {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	body := url.Values{"value": {value}}.Encode()
	return func(ctx context.Context, key int) error {
		method, content := http.MethodPut, body
		if reads {
			method, content = http.MethodGet, ""
		}
		// As clients do that want no stale answer.
		r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/v2/keys/load/%d?quorum=true", endpoint, key), strings.NewReader(content))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err
		}
		if answer.StatusCode >= 300 {
			return fmt.Errorf("status %d", answer.StatusCode)
		}
		return nil
	}
}
