package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coreos/internal/cli/redact"
	"coreos/internal/fleet/client"
	"coreos/internal/fleet/schema"
	"coreos/internal/fleet/sshclient"
	"coreos/internal/host/tlsroots"
)

// driverAPI is the only driver.
const driverAPI = "API"

// connect makes the client. It connects only to the machine of a tunnel.
func (a *app) connect(ctx context.Context) error {
	if a.flags.driver != driverAPI && a.flags.driver != "" {
		return fmt.Errorf("--driver=%s: fleetctl does not read etcd itself; use --driver=%s and the --endpoint of a fleetd", a.flags.driver, driverAPI)
	}
	endpoint, more, _ := strings.Cut(a.flags.endpoint, ",")
	if more != "" {
		a.warn("WARNING: of several endpoints only the first is used, %s", redact.URL(endpoint))
	}
	config := client.Config{Timeout: seconds(a.flags.requestTimeout)}
	if a.flags.debug {
		config.Log = slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	if config.TLS, err = a.tls(); err != nil {
		return err
	}
	if a.flags.tunnel != "" {
		tunnel, err := a.sshConfig().Dial(ctx, a.flags.tunnel, nil)
		if err != nil {
			return err
		}
		config.Dial = tunnel.DialContext
	}
	a.client, err = client.New(endpoint, config)
	return err
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (a *app) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.flags.caFile != "" {
		var err error
		if c.RootCAs, err = tlsroots.Read(a.flags.caFile); err != nil {
			return nil, err
		}
	}
	if (a.flags.certFile == "") != (a.flags.keyFile == "") {
		return nil, errors.New("--cert-file and --key-file must be used together")
	}
	if a.flags.certFile != "" {
		pair, err := tls.LoadX509KeyPair(a.flags.certFile, a.flags.keyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with the key %s: %w", a.flags.certFile, a.flags.keyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (a *app) sshConfig() sshclient.Config {
	c := sshclient.Config{User: a.flags.sshUser, Timeout: seconds(a.flags.sshTimeout), Ask: a.ask}
	if a.flags.strictHostKeys {
		c.KnownHosts = home(a.flags.knownHosts)
	}
	return c
}

// home replaces a ~ at the beginning of a path.
func home(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if dir, err := os.UserHomeDir(); err == nil {
			return filepath.Join(dir, rest)
		}
	}
	return path
}

// ask asks the operator a question. Without a terminal the answer is no.
func (a *app) ask(question string) bool {
	fmt.Fprint(a.Err, question)
	var answer string
	_, _ = fmt.Fscanln(a.In, &answer)
	return strings.EqualFold(answer, "yes") || strings.EqualFold(answer, "y")
}

// loadMachines reads the machines, once. Lists show IDs alone if that fails.
func (a *app) loadMachines(ctx context.Context) {
	if a.machines != nil {
		return
	}
	all, err := a.client.Machines(ctx)
	if err != nil {
		return
	}
	a.machines = make(map[string]schema.Machine, len(all))
	for _, m := range all {
		a.machines[m.ID] = m
	}
}

// machine returns a loaded machine, or one with the ID alone.
func (a *app) machine(id string) schema.Machine {
	if m, ok := a.machines[id]; ok {
		return m
	}
	return schema.Machine{ID: id}
}

// findMachine returns the machine with an ID, or the only one whose ID begins with it.
func (a *app) findMachine(ctx context.Context, prefix string) (schema.Machine, error) {
	all, err := a.client.Machines(ctx)
	if err != nil {
		return schema.Machine{}, err
	}
	var found []schema.Machine
	for _, m := range all {
		if m.ID == prefix {
			return m, nil
		}
		if strings.HasPrefix(m.ID, prefix) {
			found = append(found, m)
		}
	}
	switch {
	case len(found) == 0:
		return schema.Machine{}, fmt.Errorf("machine %s does not exist", prefix)
	case len(found) > 1:
		return schema.Machine{}, fmt.Errorf("%d machines have an ID that begins with %q", len(found), prefix)
	}
	return found[0], nil
}
