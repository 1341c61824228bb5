package privsep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"coreos/internal/host/bounded"
)

// receive reads a line of at most most bytes, and the files that come with it. The caller closes them.
func receive(conn *net.UnixConn, most int) (line []byte, files []*os.File, err error) {
	buffer, rights := make([]byte, 4<<10), make([]byte, unix.CmsgSpace(4*maxFiles))
	for !bytes.HasSuffix(line, []byte("\n")) {
		n, r, flags, _, err := conn.ReadMsgUnix(buffer, rights)
		line = append(line, buffer[:max(n, 0)]...)
		more, problem := filesOf(rights[:max(r, 0)])
		files = append(files, more...)
		if flags&unix.MSG_CTRUNC != 0 {
			problem = errors.Join(problem, fmt.Errorf("more than %d files", maxFiles))
		}
		if n == 0 && err == nil {
			err = io.ErrUnexpectedEOF
		}
		if err = errors.Join(err, problem, bounded.Check(line, int64(most))); err != nil {
			closeAll(files)
			return nil, nil, err
		}
	}
	return line, files, nil
}

// filesOf returns the files of control messages.
func filesOf(rights []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for _, message := range messages {
		fds, problem := unix.ParseUnixRights(&message)
		err = errors.Join(err, problem)
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "a file of another process"))
		}
	}
	return files, err
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}
