// Package sshclient connects to the machines of a cluster by SSH, with the keys of an ssh-agent. It
// runs commands and shells there, and reaches fleetd's socket.
package sshclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Config says how to log in.
type Config struct {
	User string
	// Timeout bounds the connection and the handshake.
	Timeout time.Duration
	// KnownHosts is the file with the keys of hosts; "" accepts any key.
	KnownHosts string
	// Ask asks the operator whether an unknown key belongs to its host.
	Ask func(question string) bool
}

// Client is a connection to a machine.
type Client struct {
	ssh   *ssh.Client
	agent net.Conn
	host  string
}

// Dial logs in at a machine, HOST or HOST:PORT. If through is not nil, the connection goes through
// that client's machine.
func (c Config) Dial(ctx context.Context, address string, through *Client) (*Client, error) {
	client, err := c.dial(ctx, withPort(address), through)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("SSH to %s as %s: %w", address, c.User, err)
	}
	return client, err
}

func (c Config) dial(ctx context.Context, address string, through *Client) (*Client, error) {
	keys, err := dialAgent()
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{User: c.User, Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(keys).Signers)}}
	if err := c.checkKeys(config, address); err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	dial := (&net.Dialer{Timeout: c.Timeout}).DialContext
	if through != nil {
		dial = through.ssh.DialContext
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer in %v", c.Timeout))
	defer cancel()
	connection, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	// Connections through a tunnel have no deadlines: closing them ends the handshake.
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	handshake, channels, requests, err := ssh.NewClientConn(connection, address, config)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = connection.Close()
		_ = keys.Close()
		return nil, err
	}
	return &Client{ssh.NewClient(handshake, channels, requests), keys, address}, nil
}

// Close closes the connection.
func (c *Client) Close() error { return errors.Join(c.ssh.Close(), c.agent.Close()) }

func dialAgent() (net.Conn, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, errors.New("SSH_AUTH_SOCK is not set: start an ssh-agent and give it your key with ssh-add")
	}
	keys, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent of SSH_AUTH_SOCK: %w", err)
	}
	return keys, nil
}

// withPort adds the port of SSH to an address without a port.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), "22")
}

// Quote returns a command line from which a shell reads exactly these words.
func Quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(word, needsQuotes) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func needsQuotes(r rune) bool {
	return !strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_./@=,+%", r)
}
