package datasource

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// WireServer is where Azure's platform is told how machines are.
	WireServer = "http://168.63.129.16/"
	// readyTries bounds how often it is told that this one is ready.
	readyTries = 10
)

// ReportReady tells Azure's platform at a URL, WireServer except in tests, that this
// machine is up. A machine that does not say so within some minutes of its first boot
// counts as failed, even if it works; machines with Azure's agent leave it to that. It is
// tried some times, for at most a few minutes.
// See https://learn.microsoft.com/azure/virtual-machines/linux/no-agent.
func ReportReady(ctx context.Context, address string) error {
	return reportReady(ctx, newServer(address, "X-Ms-Version", "2012-11-30", "X-Ms-Agent-Name", "coreos-cloudinit"), time.Second)
}

func reportReady(ctx context.Context, s server, pause time.Duration) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = pause
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := tryReportReady(ctx, s)
		if err != nil && isFinal(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(readyTries))
	if err != nil {
		return fmt.Errorf("report to Azure at %s that this machine is ready: %w", s.root, err)
	}
	return nil
}

func tryReportReady(ctx context.Context, s server) error {
	text, err := s.get(ctx, "machine/?comp=goalstate", maxDocument)
	if err != nil {
		return err
	}
	report, err := readyReport(text)
	if err != nil {
		return fmt.Errorf("goal state: %w", err)
	}
	s.header = s.header.Clone()
	s.header.Set("Content-Type", "text/xml; charset=utf-8")
	_, _, err = s.do(ctx, http.MethodPost, "machine/?comp=health", bytes.NewReader(report), maxDocument)
	return err
}

// goalState is what the platform wants of a machine. It names the machine.
type goalState struct {
	Incarnation string
	ContainerID string `xml:"Container>ContainerId"`
	InstanceID  string `xml:"Container>RoleInstanceList>RoleInstance>InstanceId"`
}

// health is what a machine says of itself.
type health struct {
	XMLName     xml.Name `xml:"Health"`
	Incarnation string   `xml:"GoalStateIncarnation"`
	ContainerID string   `xml:"Container>ContainerId"`
	InstanceID  string   `xml:"Container>RoleInstanceList>Role>InstanceId"`
	State       string   `xml:"Container>RoleInstanceList>Role>Health>State"`
}

// readyReport answers a goal state.
func readyReport(text []byte) ([]byte, error) {
	var goal goalState
	if err := xmlDocument(text, &goal); err != nil {
		return nil, err
	}
	if goal.Incarnation == "" || goal.ContainerID == "" || goal.InstanceID == "" {
		return nil, fmt.Errorf("%w: it does not name the machine", ErrInvalid)
	}
	report, err := xml.Marshal(health{
		Incarnation: goal.Incarnation, ContainerID: goal.ContainerID, InstanceID: goal.InstanceID, State: "Ready",
	})
	return append([]byte(xml.Header), report...), err
}
