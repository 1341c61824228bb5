// Package sshtest is an SSH server for tests.
package sshtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"coreos/internal/fleet/cli"
)

// Server is an SSH server that runs commands as the user of the test. It accepts the user core with
// the key of an ssh-agent, and sets SSH_AUTH_SOCK to that agent.
type Server struct {
	Address string
	// Key and Other are two keys of the server.
	Key, Other ssh.PublicKey

	test      *testing.T
	config    *ssh.ServerConfig
	forwarded atomic.Bool
}

// New starts a server, which runs until the test ends.
func New(t *testing.T) *Server {
	t.Helper()
	s := &Server{test: t}
	mine := startAgent(t)
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() == "core" && bytes.Equal(key.Marshal(), mine.Marshal()) {
			return nil, nil
		}
		return nil, errors.New("no such user")
	}}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.Key, s.Other = s.addKey(private), s.addKey(other)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	t.Cleanup(func() { _ = l.Close() })
	go accept(l, s.serve)
	return s
}

func (s *Server) addKey(private crypto.Signer) ssh.PublicKey {
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		s.test.Fatal(err)
	}
	s.config.AddHostKey(signer)
	return signer.PublicKey()
}

// Forwarded reports whether a client has forwarded the ssh-agent.
func (s *Server) Forwarded() bool { return s.forwarded.Load() }

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		connection, err := l.Accept()
		if err != nil {
			return
		}
		go serve(connection)
	}
}

// startAgent starts an ssh-agent with one key.
func startAgent(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("SSH_AUTH_SOCK", socket)
	go accept(l, func(c net.Conn) { _ = agent.ServeAgent(keys, c) })
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *Server) serve(connection net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(connection, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			go s.session(channel)
		case "direct-tcpip":
			go direct(channel)
		default:
			_ = channel.Reject(ssh.UnknownChannelType, "")
		}
	}
}

// direct connects a channel to the address for which the client asks.
func direct(request ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		From   string
		Origin uint32
	}
	if err := ssh.Unmarshal(request.ExtraData(), &to); err != nil {
		_ = request.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	connection, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(to.Host), Port: int(to.Port)})
	if err != nil {
		_ = request.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := request.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(connection, channel); _ = connection.CloseWrite() }()
	_, _ = io.Copy(channel, connection)
	_ = channel.Close()
}

func (s *Server) session(request ssh.NewChannel) {
	channel, requests, err := request.Accept()
	if err != nil {
		return
	}
	s.forwarded.Store(false)
	for r := range requests {
		switch r.Type {
		case "auth-agent-req@openssh.com":
			s.forwarded.Store(true)
			_ = r.Reply(true, nil)
		case "exec":
			_ = r.Reply(true, nil)
			go finish(channel, s.run(string(r.Payload[4:])))
		case "shell":
			_ = r.Reply(true, nil)
			go finish(channel, s.run("echo a shell"))
		default:
			_ = r.Reply(false, nil)
		}
	}
}

// run prepares a command. The command fleetctl runs in this process.
func (s *Server) run(command string) func(ssh.Channel) int {
	return func(channel ssh.Channel) int {
		streams := cli.Streams{In: channel, Out: channel, Err: channel.Stderr()}
		if words, ok := strings.CutPrefix(command, "fleetctl fd-forward "); ok {
			return cli.Run(s.test.Context(), []string{"fd-forward", strings.Trim(words, "'")}, streams)
		}
		c := exec.CommandContext(s.test.Context(), "/bin/sh", "-c", command)
		c.Stdout, c.Stderr = streams.Out, streams.Err
		in, err := c.StdinPipe()
		if err != nil {
			return 127
		}
		go func() { _, _ = io.Copy(in, channel); _ = in.Close() }()
		_ = c.Run()
		return c.ProcessState.ExitCode()
	}
}

func finish(channel ssh.Channel, run func(ssh.Channel) int) {
	status := run(channel)
	_, _ = channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, uint32(status)))
	_ = channel.Close()
}
