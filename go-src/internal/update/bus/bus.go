// Package bus has update-engine's D-Bus interface, com.coreos.update1.Manager: the server
// in the daemon and the client. The names, the signal and the first methods are those of
// CoreOS's update_engine
// (https://github.com/coreos/update_engine/blob/master/UpdateEngine.conf); ours are added.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"golang.org/x/sys/unix"

	"coreos/internal/cli/redact"
	"coreos/internal/update/status"
)

// Names on the bus.
const (
	Name      = "com.coreos.update1"
	Path      = dbus.ObjectPath("/com/coreos/update1")
	Interface = "com.coreos.update1.Manager"
)

const introspection = `
<node>
	<interface name="` + Interface + `">
		<method name="AttemptUpdate"/>
		<method name="ResetStatus"/>
		<method name="GetStatus">
			<arg type="x" name="last_checked_time" direction="out"/>
			<arg type="d" name="progress" direction="out"/>
			<arg type="s" name="current_operation" direction="out"/>
			<arg type="s" name="new_version" direction="out"/>
			<arg type="x" name="new_size" direction="out"/>
		</method>
		<method name="CheckForUpdate"/>
		<method name="Update"/>
		<method name="ApplyBundle"><arg type="s" name="path" direction="in"/></method>
		<method name="ApplyOpenBundle"><arg type="h" name="file" direction="in"/><arg type="s" name="path" direction="in"/></method>
		<method name="GetDetails"><arg type="s" name="json" direction="out"/></method>
		<method name="PrepareReboot"><arg type="b" name="kexec" direction="out"/></method>
		<signal name="StatusUpdate">
			<arg type="x" name="last_checked_time"/>
			<arg type="d" name="progress"/>
			<arg type="s" name="current_operation"/>
			<arg type="s" name="new_version"/>
			<arg type="x" name="new_size"/>
		</signal>
	</interface>` + introspect.IntrospectDataString + `
</node>`

// Connect connects to the system bus. The caller closes the connection.
func Connect() (*dbus.Conn, error) {
	systemBus, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("D-Bus: %w", err)
	}
	return systemBus, nil
}

// Engine serves the methods of the interface.
type Engine interface {
	Status() status.Status
	Wake()
	Update(context.Context) error
	Reset(context.Context) error
	ApplyBundle(ctx context.Context, path string) error
	ApplyOpenBundle(ctx context.Context, file *os.File, path string) error
	PrepareReboot() (kexec bool, err error)
}

// manager implements the methods of the interface.
type manager struct {
	ctx    context.Context
	engine Engine
}

// failed converts an error into a D-Bus error.
func failed(err error) *dbus.Error {
	if err == nil {
		return nil
	}
	return dbus.NewError("com.coreos.update1.Error", []any{redact.Text(err.Error())})
}

// AttemptUpdate asks the server for an update and installs it. It returns at once, as
// upstream's does; the signal StatusUpdate tells the progress and the result.
func (m manager) AttemptUpdate() *dbus.Error {
	if m.engine.Status().Operation != status.Idle && m.engine.Status().Operation != status.NeedReboot {
		return failed(status.ErrBusy)
	}
	go func() {
		if err := m.engine.Update(m.ctx); err != nil && !errors.Is(err, context.Canceled) {
			slog.Warn("the machine was not updated", "error", err)
		}
	}()
	return nil
}

// Update asks the server for an update, installs it, and returns when that is done.
func (m manager) Update() *dbus.Error { return failed(m.engine.Update(m.ctx)) }

// CheckForUpdate makes the daemon ask the server soon, as it does by itself.
func (m manager) CheckForUpdate() *dbus.Error {
	m.engine.Wake()
	return nil
}

// ResetStatus forgets the installed update and the refused versions.
func (m manager) ResetStatus() *dbus.Error { return failed(m.engine.Reset(m.ctx)) }

// ApplyBundle installs the update bundle in a file that the daemon's user can read, and returns when
// that is done.
func (m manager) ApplyBundle(path string) *dbus.Error {
	return failed(m.engine.ApplyBundle(m.ctx, path))
}

// ApplyOpenBundle installs the update bundle in a file that the caller has opened, and returns when
// that is done. The path is for errors.
func (m manager) ApplyOpenBundle(fd dbus.UnixFD, path string) *dbus.Error {
	file := os.NewFile(uintptr(fd), path)
	defer func() { _ = file.Close() }()
	return failed(m.engine.ApplyOpenBundle(m.ctx, file, path))
}

// GetStatus returns the five values that upstream's clients read.
func (m manager) GetStatus() (int64, float64, string, string, int64, *dbus.Error) {
	checked, progress, operation, version, size := fields(m.engine.Status())
	return checked, progress, operation, version, size, nil
}

// GetDetails returns the whole status as JSON.
func (m manager) GetDetails() (string, *dbus.Error) {
	text, err := json.Marshal(m.engine.Status())
	return string(text), failed(err)
}

// PrepareReboot prepares a restart of the machine, and returns whether it is to be by
// kexec: then the kernel of the next slot is loaded.
func (m manager) PrepareReboot() (bool, *dbus.Error) {
	kexec, err := m.engine.PrepareReboot()
	return kexec, failed(err)
}

// fields returns the part of a status that upstream's interface has.
func fields(s status.Status) (checked int64, progress float64, operation, version string, size int64) {
	if !s.LastChecked.IsZero() {
		checked = s.LastChecked.Unix()
	}
	return checked, s.Progress(), string(s.Operation), s.NewVersion, s.Total
}

// Export serves an engine on the bus. The end of the context ends the calls that are in
// progress.
func Export(ctx context.Context, bus *dbus.Conn, engine Engine) error {
	if err := bus.Export(manager{ctx, engine}, Path, Interface); err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	if err := bus.Export(introspect.Introspectable(introspection), Path, "org.freedesktop.DBus.Introspectable"); err != nil {
		return fmt.Errorf("D-Bus: %w", err)
	}
	reply, err := bus.RequestName(Name, dbus.NameFlagDoNotQueue)
	if err != nil {
		return fmt.Errorf("D-Bus: request the name %s: %w", Name, err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("D-Bus: another update-engine runs: it owns the name %s", Name)
	}
	return nil
}

// Tell sends the signal StatusUpdate.
func Tell(bus *dbus.Conn, s status.Status) {
	checked, progress, operation, version, size := fields(s)
	if err := bus.Emit(Path, Interface+".StatusUpdate", checked, progress, operation, version, size); err != nil {
		slog.Warn("the status could not be sent on D-Bus", "error", err)
	}
}

// Client calls update-engine over D-Bus.
type Client struct {
	bus    *dbus.Conn
	object dbus.BusObject
	// request is the path of the request for a restart. Tests change it.
	request string
}

// NewClient returns a client on the bus.
func NewClient(bus *dbus.Conn) *Client { return &Client{bus, bus.Object(Name, Path), request} }

// Call calls a method without results.
func (c *Client) Call(ctx context.Context, method string, args ...any) error {
	if err := c.object.CallWithContext(ctx, Interface+"."+method, 0, args...).Err; err != nil {
		return fmt.Errorf("update-engine: %w", err)
	}
	return nil
}

// ApplyBundle has update-engine install the update bundle in a file, and waits for the end. The file
// is opened here, since update-engine's user may not be able to.
func (c *Client) ApplyBundle(ctx context.Context, path string) error {
	// Opening a pipe would wait for its other end.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	defer func() { _ = file.Close() }()
	return c.Call(ctx, "ApplyOpenBundle", dbus.UnixFD(file.Fd()), path)
}

// Status returns the status of update-engine.
func (c *Client) Status(ctx context.Context) (status.Status, error) {
	var text string
	var s status.Status
	if err := c.object.CallWithContext(ctx, Interface+".GetDetails", 0).Store(&text); err != nil {
		return s, fmt.Errorf("update-engine: %w", err)
	}
	return s, json.Unmarshal([]byte(text), &s)
}

// PrepareReboot tells update-engine that the machine is about to restart, and returns
// whether the restart is to be by kexec.
func (c *Client) PrepareReboot(ctx context.Context) (kexec bool, err error) {
	if err := c.object.CallWithContext(ctx, Interface+".PrepareReboot", 0).Store(&kexec); err != nil {
		return false, fmt.Errorf("update-engine: %w", err)
	}
	return kexec, nil
}

// Watch calls take with the current status and with every later one, until take returns
// enough.
func (c *Client) Watch(ctx context.Context, take func(status.Status) (enough bool, err error)) error {
	signals, end, err := c.subscribe(ctx)
	if err != nil {
		return err
	}
	defer end()
	for {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if enough, err := take(s); enough || err != nil {
			return err
		}
		select {
		case <-signals:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
