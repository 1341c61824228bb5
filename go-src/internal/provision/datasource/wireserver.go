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
	// WireServer is the URL at which Azure takes reports of machines.
	WireServer = "http://168.63.129.16/"
	// readyTries is the number of attempts to report.
	readyTries = 10
)

// ReportReady reports to Azure that this machine is ready. The URL is WireServer except in
// tests. Azure counts a machine as failed if it does not report within some minutes of its
// first boot. On machines with Azure's agent, the agent reports. ReportReady makes several
// attempts, for at most a few minutes. See
// https://learn.microsoft.com/azure/virtual-machines/linux/no-agent.
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

// goalState is the state that Azure wants. It has the ids of the machine.
type goalState struct {
	Incarnation string
	ContainerID string `xml:"Container>ContainerId"`
	InstanceID  string `xml:"Container>RoleInstanceList>RoleInstance>InstanceId"`
}

// health is the report of a machine.
type health struct {
	XMLName     xml.Name `xml:"Health"`
	Incarnation string   `xml:"GoalStateIncarnation"`
	ContainerID string   `xml:"Container>ContainerId"`
	InstanceID  string   `xml:"Container>RoleInstanceList>Role>InstanceId"`
	State       string   `xml:"Container>RoleInstanceList>Role>Health>State"`
}

// readyReport returns the report for a goal state.
func readyReport(text []byte) ([]byte, error) {
	var goal goalState
	if err := xmlDocument(text, &goal); err != nil {
		return nil, err
	}
	if goal.Incarnation == "" || goal.ContainerID == "" || goal.InstanceID == "" {
		return nil, fmt.Errorf("%w: the ids of the machine are missing", ErrInvalid)
	}
	report, err := xml.Marshal(health{
		Incarnation: goal.Incarnation, ContainerID: goal.ContainerID, InstanceID: goal.InstanceID, State: "Ready",
	})
	return append([]byte(xml.Header), report...), err
}
