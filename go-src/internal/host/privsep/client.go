package privsep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
)

// Socket is the path of the socket on which systemd listens for requests.
type Socket string

// Call has an action done and waits for its end. result takes the action's result; it is nil for an
// action without one.
func (s Socket) Call(ctx context.Context, action string, argument, result any) error {
	files, err := s.Files(ctx, action, argument, result)
	closeAll(files)
	return err
}

// Files is Call for an action whose result has open files. The caller closes them.
func (s Socket) Files(ctx context.Context, action string, argument, result any) ([]*os.File, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", string(s))
	if err != nil {
		return nil, fmt.Errorf("root's part of this daemon does not answer: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var r response
	files, err := exchange(conn.(*net.UnixConn), action, argument, &r)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = fmt.Errorf("root's part of this daemon does not answer: %w", err)
	case r.Error != "":
		err = errors.New(r.Error)
	case result != nil:
		err = json.Unmarshal(r.Result, result)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func exchange(conn *net.UnixConn, action string, argument any, r *response) ([]*os.File, error) {
	text, err := json.Marshal(argument)
	if err != nil {
		return nil, err
	}
	if err := send(conn, request{action, text}, nil); err != nil {
		return nil, err
	}
	line, files, err := receive(conn, maxResponse)
	if err != nil {
		return nil, err
	}
	return files, json.Unmarshal(line, r)
}
