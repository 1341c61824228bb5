package sshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"
)

// Streams are a command's.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs a command on the machine and returns its exit status; a shell, if it is "".
// With forward, the programs there can use the ssh-agent.
func (c *Client) Run(command string, streams Streams, forward bool) (status int, err error) {
	session, err := c.ssh.NewSession()
	if err != nil {
		return 0, err
	}
	defer func() { _ = session.Close() }()
	session.Stdout, session.Stderr = streams.Out, streams.Err
	if err := feed(session, streams.In); err != nil {
		return 0, err
	}
	if forward {
		if err := c.forwardAgent(session); err != nil {
			return 0, err
		}
	}
	restore, err := terminal(session, streams.In)
	if err != nil {
		return 0, err
	}
	defer restore()
	if command == "" {
		err = session.Shell()
	} else {
		err = session.Start(command)
	}
	if err != nil {
		return 0, err
	}
	err = session.Wait()
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exit.ExitStatus(), nil
	}
	return 0, err
}

// feed passes input on. Unlike what the session would do, neither input that never ends nor
// a command that does not read it keeps the session from ending well.
func feed(session *ssh.Session, in io.Reader) error {
	if in == nil {
		return nil
	}
	pipe, err := session.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(pipe, in)
		_ = pipe.Close()
	}()
	return nil
}

func (c *Client) forwardAgent(session *ssh.Session) error {
	if err := agent.ForwardToRemote(c.ssh, os.Getenv("SSH_AUTH_SOCK")); err != nil {
		return err
	}
	return agent.RequestAgentForwarding(session)
}

// terminal gives the session a terminal like ours, if in is one.
func terminal(session *ssh.Session, in io.Reader) (restore func(), err error) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}, nil
	}
	fd := int(file.Fd())
	width, height, err := term.GetSize(fd)
	if err != nil {
		return nil, err
	}
	kind := os.Getenv("TERM")
	if kind == "" {
		kind = "xterm-256color"
	}
	if err := session.RequestPty(kind, height, width, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
		return nil, err
	}
	old, err := term.MakeRaw(fd)
	return func() { _ = term.Restore(fd, old) }, err
}

// DialContext connects to an address as the machine sees it: over tcp, or to a unix
// socket, by fleetctl fd-forward on the machine.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" {
		return c.ssh.DialContext(ctx, network, address)
	}
	session, err := c.ssh.NewSession()
	if err != nil {
		return nil, err
	}
	f := &forward{session: session, end: sync.OnceValue(session.Wait), host: c.host, address: address}
	session.Stderr = &f.said
	if f.Writer, err = session.StdinPipe(); err == nil {
		f.Reader, err = session.StdoutPipe()
	}
	if err == nil {
		err = session.Start("fleetctl " + Quote("fd-forward", address))
	}
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return f, nil
}

// forward is a connection by fd-forward.
type forward struct {
	io.Reader
	io.Writer
	session       *ssh.Session
	end           func() error
	said          saying
	host, address string
}

func (f *forward) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	return n, f.reason(err)
}

func (f *forward) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	return n, f.reason(err)
}

// reason says why the connection ended, if there is a reason.
func (f *forward) reason(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if problem := f.end(); problem != nil {
		return fmt.Errorf("fleetctl fd-forward %s on %s: %w: %s", f.address, f.host, problem, &f.said)
	}
	return err
}

func (f *forward) Close() error {
	if err := f.session.Close(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (f *forward) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix"} }
func (f *forward) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix", Name: f.address} }
func (f *forward) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (f *forward) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (f *forward) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// saying keeps the beginning of what a command says on its standard error.
type saying struct {
	mu   sync.Mutex
	text []byte
}

func (t *saying) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), 1024-len(t.text))]...)
	return len(p), nil
}

func (t *saying) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
