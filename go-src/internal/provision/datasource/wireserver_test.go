package datasource

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const goalStateDocument = `<?xml version="1.0" encoding="utf-8"?>
<GoalState xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="goalstate10.xsd">
  <Version>2012-11-30</Version><Incarnation>42</Incarnation>
  <Machine><ExpectedState>Started</ExpectedState></Machine>
  <Container><ContainerId>a511aa6d-29e7</ContainerId><RoleInstanceList><RoleInstance>
    <InstanceId>f6cd1d7e.one&amp;two</InstanceId><State>Started</State>
    <Configuration><SharedConfig>http://168.63.129.16:80/machine/x?comp=config&amp;type=sharedConfig</SharedConfig></Configuration>
  </RoleInstance></RoleInstanceList></Container>
</GoalState>`

const readyDocument = `<?xml version="1.0" encoding="UTF-8"?>
<Health><GoalStateIncarnation>42</GoalStateIncarnation><Container><ContainerId>a511aa6d-29e7</ContainerId>` +
	`<RoleInstanceList><Role><InstanceId>f6cd1d7e.one&amp;two</InstanceId><Health><State>Ready</State></Health></Role>` +
	`</RoleInstanceList></Container></Health>`

// wire is a wireserver that fails at first, as often as it should.
type wire struct {
	goal     string
	failures int64
	asked    atomic.Int64
	report   atomic.Value
}

func (f *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.asked.Add(1) <= f.failures:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Header.Get("x-ms-version") != "2012-11-30" || r.Header.Get("x-ms-agent-name") == "" || r.URL.Path != "/machine/":
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodGet && r.URL.RawQuery == "comp=goalstate":
		_, _ = io.WriteString(w, f.goal)
	case r.Method == http.MethodPost && r.URL.RawQuery == "comp=health" && strings.HasPrefix(r.Header.Get("Content-Type"), "text/xml"):
		text, _ := io.ReadAll(r.Body)
		f.report.Store(string(text))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestReportReady(t *testing.T) {
	tests := map[string]struct {
		server *wire
		want   error
		asked  int64
	}{
		"at once":             {&wire{goal: goalStateDocument}, nil, 2},
		"after some failures": {&wire{goal: goalStateDocument, failures: 3}, nil, 5},
		"never":               {&wire{goal: goalStateDocument, failures: 1000}, errAny, readyTries},
		"garbage":             {&wire{goal: "<html>"}, ErrInvalid, 1},
		"a goal of nobody":    {&wire{goal: "<GoalState><Incarnation>1</Incarnation></GoalState>"}, ErrInvalid, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(serve(t, test.server.ServeHTTP), "X-Ms-Version", "2012-11-30", "X-Ms-Agent-Name", "coreos-cloudinit")
			err := reportReady(t.Context(), s, time.Microsecond)
			if (err == nil) != (test.want == nil) || !errors.Is(test.want, errAny) && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if got := test.server.asked.Load(); got != test.asked {
				t.Errorf("asked %d times, want %d", got, test.asked)
			}
			if got := test.server.report.Load(); err == nil && got != readyDocument {
				t.Errorf("reported %v", got)
			}
		})
	}
}

var errAny = errors.New("any")

func TestReportReadyIsCancelled(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := ReportReady(ctx, url); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func FuzzReadyReport(f *testing.F) {
	f.Add([]byte(goalStateDocument))
	f.Fuzz(func(t *testing.T, text []byte) {
		if report, err := readyReport(text); err == nil && !strings.Contains(string(report), "<State>Ready</State>") {
			t.Errorf("report %q", report)
		}
	})
}
