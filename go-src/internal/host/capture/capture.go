// Package capture keeps a limited part of a program's output, for errors and logs. Its
// types implement io.Writer only: io.Copy would use the ReadFrom of a bytes.Buffer, which
// has no limit.
package capture

import (
	"bytes"
	"strings"
)

// Head keeps the first Limit bytes that are written to it.
type Head struct {
	Limit int
	kept  []byte
	cut   bool
}

// Write implements io.Writer. It never fails.
func (h *Head) Write(b []byte) (int, error) {
	room := h.Limit - len(h.kept)
	h.cut = h.cut || len(b) > room
	h.kept = append(h.kept, b[:min(len(b), room)]...)
	return len(b), nil
}

// String returns the text without white space around it. " …" says that it was cut.
func (h *Head) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(h.kept), ""))
	if h.cut {
		text += " …"
	}
	return text
}

// OneLine returns the text in one line.
func (h *Head) OneLine() string { return strings.Join(strings.Fields(h.String()), " ") }

// Tail keeps the last Limit bytes that are written to it.
type Tail struct {
	Limit int
	kept  []byte
}

// Write implements io.Writer. It never fails.
func (t *Tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b[max(0, len(b)-t.Limit):]...)
	t.kept = t.kept[max(0, len(t.kept)-t.Limit):]
	return len(b), nil
}

// String returns the text without white space around it.
func (t *Tail) String() string {
	return strings.ToValidUTF8(string(bytes.TrimSpace(t.kept)), "?")
}
