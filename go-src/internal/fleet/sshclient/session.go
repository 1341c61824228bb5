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

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs a command on the machine, or a shell if the command is empty, and returns its exit
// status. With forward, programs there can use the ssh-agent.
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

// feed copies the input to the session. Unlike Session.Stdin, it does not keep the session open if
// the input never ends, or if the command does not read it.
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

// terminal gives the session a terminal of the same size and kind, if in is a terminal.
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

// DialContext connects to an address from the machine: over tcp, or to a unix socket there, with
// fleetctl fd-forward.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" {
		return c.ssh.DialContext(ctx, network, address)
	}
	session, err := c.ssh.NewSession()
	if err != nil {
		return nil, err
	}
	f := &forward{session: session, end: sync.OnceValue(session.Wait), host: c.host, address: address}
	session.Stderr = &f.stderr
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

// forward is a connection over fd-forward.
type forward struct {
	io.Reader
	io.Writer
	session       *ssh.Session
	end           func() error
	stderr        beginning
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

// reason replaces io.EOF by the error of the command, if it has one.
func (f *forward) reason(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if problem := f.end(); problem != nil {
		return fmt.Errorf("fleetctl fd-forward %s on %s: %w: %s", f.address, f.host, problem, &f.stderr)
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

// beginning keeps the first bytes that are written to it.
type beginning struct {
	mu   sync.Mutex
	text []byte
}

func (b *beginning) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(len(p), 1024-len(b.text))]...)
	return len(p), nil
}

func (b *beginning) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(string(b.text))
}
