// Package privsep is privilege separation: a daemon that runs as a user of its own has a process
// of root do the few things for which it needs root. The process is an instance of a service that
// systemd starts for each connection to a socket (Accept=yes in systemd.socket(5)), and the
// permissions of the socket say who may connect.
//
// A connection is for one request. The client sends a line of JSON with the name of the action and
// its argument, and receives a line of JSON with the result, and open files if the result has some
// (SCM_RIGHTS in unix(7)). A client that hangs up cancels the action.
package privsep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a connection.
const (
	maxRequest  = 4 << 10
	maxResponse = 256 << 10
	maxFiles    = 8
	requestTime = 10 * time.Second // for the request to arrive
)

// Action is what a daemon may have done. It returns a value that encoding/json encodes, nil for none.
type Action func(ctx context.Context, argument json.RawMessage) (result any, files []*os.File, err error)

type request struct {
	Action   string          `json:"action"`
	Argument json.RawMessage `json:"argument,omitempty"`
}

type response struct {
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// Serve serves the connection that is the standard input of this process. The error of an action
// goes to the client, and is none of this process.
func Serve(ctx context.Context, actions map[string]Action) error {
	conn, err := net.FileConn(os.Stdin)
	if err != nil {
		return fmt.Errorf("standard input is not a connection that systemd has accepted: %w", err)
	}
	defer func() { _ = conn.Close() }()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("standard input is not a connection of a unix socket")
	}
	return ServeConn(ctx, unixConn, actions)
}

// ServeConn is Serve for a connection.
func ServeConn(ctx context.Context, conn *net.UnixConn, actions map[string]Action) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result, files, err := perform(ctx, cancel, conn, actions)
	defer closeAll(files)
	var r response
	if err == nil {
		r.Result, err = json.Marshal(result)
	}
	if err != nil {
		r, files = response{Error: err.Error()}, nil
	}
	return send(conn, r, files)
}

// perform reads the request and performs its action, which ends when the client hangs up.
func perform(ctx context.Context, cancel func(), conn *net.UnixConn, actions map[string]Action) (any, []*os.File, error) {
	if err := conn.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return nil, nil, err
	}
	var r request
	line, _, err := receive(conn, maxRequest)
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	action, ok := actions[r.Action]
	if !ok {
		return nil, nil, fmt.Errorf("there is no action %.40q", r.Action)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	go func() {
		_, _ = conn.Read(make([]byte, 1))
		cancel()
	}()
	return action(ctx, r.Argument)
}

func send(conn *net.UnixConn, message any, files []*os.File) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		var fds []int
		for _, file := range files {
			fds = append(fds, int(file.Fd()))
		}
		rights = unix.UnixRights(fds...)
	}
	line = append(line, '\n')
	n, _, err := conn.WriteMsgUnix(line, rights, nil)
	if err == nil && n < len(line) {
		_, err = conn.Write(line[n:])
	}
	return err
}
