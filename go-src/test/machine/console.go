package machine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"sync"
)

// Console is a machine's serial console, with all its output.
type Console struct {
	mu      sync.Mutex
	log     *os.File
	text    bytes.Buffer
	ended   bool
	changed chan struct{} // closed and replaced when text grows or ends
}

func newConsole(path string) (*Console, error) {
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Console{log: log, changed: make(chan struct{})}, nil
}

// Write takes the output of QEMU.
func (c *Console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(b)
	close(c.changed)
	c.changed = make(chan struct{})
	return c.log.Write(b)
}

func (c *Console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	close(c.changed)
	c.changed = make(chan struct{})
	_ = c.log.Close()
}

// Mark returns the end of the output so far, for WaitAfter.
func (c *Console) Mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Len()
}

// Text returns the output since the mark.
func (c *Console) Text(mark int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text.Bytes()[mark:])
}

// Wait waits until the pattern appears anywhere on the console and returns the
// match.
func (c *Console) Wait(ctx context.Context, pattern string) (string, error) {
	return c.WaitAfter(ctx, 0, pattern)
}

// WaitAfter waits until the pattern appears behind the mark.
func (c *Console) WaitAfter(ctx context.Context, mark int, pattern string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	for {
		c.mu.Lock()
		match := re.Find(c.text.Bytes()[mark:])
		ended, changed := c.ended, c.changed
		c.mu.Unlock()
		if match != nil {
			return string(match), nil
		}
		if ended {
			return "", fmt.Errorf("the machine went off before its console showed %q", pattern)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("the console did not show %q: %w", pattern, ctx.Err())
		}
	}
}
