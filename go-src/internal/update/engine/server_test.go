package engine

import (
	"context"
	"errors"
	"testing"

	"coreos/internal/update/omaha"
)

// Events that the server missed reach it later, in their order.
func TestEventsAreKept(t *testing.T) {
	w := newWorld(t)
	w.publish("1.1.0", "")
	w.config.Server, w.config.Repository = "", w.http.URL+"/repo/"
	d := w.machine()
	d.server = deaf{d.server}
	_, err := d.Attempt(context.Background(), false)
	w.must(err)
	w.wantEvents()
	w.config.Server = w.http.URL + "/v1/update/"
	d = w.boot(true)
	w.settle(d)
	w.wantEvents("started success 1.1.0", "finished success 1.1.0", "complete success 1.1.0", "complete rebooted 1.1.0")
}

type deaf struct{ Server }

func (deaf) Report(context.Context, []omaha.EventRequest) error {
	return errors.New("no route to host")
}
