package machine

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const sshPort = 22

// redial is the pause between attempts to reach a machine that is starting.
const redial = 200 * time.Millisecond

// Key is the key that the hypervisor hands to the machines.
type Key struct{ signer ssh.Signer }

// NewKey makes a key.
func NewKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	return &Key{signer}, nil
}

func (k *Key) authorized() []byte { return ssh.MarshalAuthorizedKey(k.signer.PublicKey()) }

func (k *Key) authorizedBase64() string {
	return base64.StdEncoding.EncodeToString(k.authorized())
}

// Bounds of one attempt to log in. QEMU accepts connections for a machine that has no
// address yet and keeps them waiting. So the first attempt is short, and a later one long
// enough for a machine that makes its host keys first.
const (
	firstAttempt = 3 * time.Second
	lastAttempt  = 20 * time.Second
)

// WaitUp waits until a machine that boots has got to its login prompts, by what its
// console says.
func (m *Machine) WaitUp(ctx context.Context) error {
	if !m.booting {
		return nil
	}
	// The getty resets the terminal, which can swallow the first of the two.
	_, err := m.Console.WaitAfter(ctx, m.bootMark, `Reached target .*(getty|multi-user)\.target`)
	m.booting = err != nil
	return err
}

// dial opens an SSH connection, trying until the context ends.
func (m *Machine) dial(ctx context.Context) (*ssh.Client, error) {
	if err := m.WaitUp(ctx); err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User:            "root",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(m.key.signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the machine is ours
	}
	address := m.Address(sshPort)
	for limit := firstAttempt; ; limit = min(limit*3/2, lastAttempt) {
		client, err := dialOnce(ctx, limit, address, config)
		if err == nil {
			return client, nil
		}
		select {
		case <-m.exited:
			return nil, fmt.Errorf("machine %s went off", m.Config.Name)
		case <-ctx.Done():
			return nil, fmt.Errorf("SSH to machine %s: %w (last attempt: %w)", m.Config.Name, ctx.Err(), err)
		case <-time.After(redial):
		}
	}
}

func dialOnce(ctx context.Context, limit time.Duration, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	client, channels, requests, err := ssh.NewClientConn(connection, address, config)
	if err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	return ssh.NewClient(client, channels, requests), nil
}

// client returns the open SSH connection, or a new one: one that is kept spares the
// machine a log-in for each command.
func (m *Machine) client(ctx context.Context) (*ssh.Client, error) {
	if m.ssh != nil {
		if _, _, err := m.ssh.SendRequest("keepalive@openssh.com", true, nil); err == nil {
			return m.ssh, nil
		}
		m.Disconnect()
	}
	client, err := m.dial(ctx)
	m.ssh = client
	return client, err
}

// Restarts says that the machine is about to restart: the next command waits until
// it is up again.
func (m *Machine) Restarts() {
	m.booting, m.bootMark = true, m.Console.Mark()
	m.Disconnect()
}

// Reboot has the machine restart in an orderly way, which may end the connection before the
// command has told how it went.
func (m *Machine) Reboot(ctx context.Context) error {
	_, err := m.Run(ctx, "systemctl --no-block reboot")
	if missing := new(ssh.ExitMissingError); errors.As(err, &missing) {
		err = nil
	}
	m.Restarts()
	return err
}

// Disconnect ends the SSH connection.
func (m *Machine) Disconnect() {
	if m.ssh != nil {
		_ = m.ssh.Close()
		m.ssh = nil
	}
}

// Run runs a shell command as root and returns its output, without the newline at
// the end. A command that exits with another status than 0 is an error.
func (m *Machine) Run(ctx context.Context, command string) (string, error) {
	client, err := m.client(ctx)
	if err != nil {
		return "", err
	}
	session, err := client.NewSession()
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	defer func() { _ = session.Close() }()
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr = &stdout, &stderr
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	if err := session.Run(command); err != nil {
		return strings.TrimSpace(stdout.String()), fmt.Errorf("%s: %w: %s%s", command, err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// WaitSSH waits until the machine lets us in.
func (m *Machine) WaitSSH(ctx context.Context) error {
	_, err := m.client(ctx)
	return err
}
