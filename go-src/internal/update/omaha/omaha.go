// Package omaha implements the Omaha protocol 3.0
// (https://github.com/google/omaha/blob/main/doc/ServerProtocol.md): XML over HTTP POST, in
// the form that CoreOS's update-engine and CoreUpdate use. A machine asks an update server
// for a newer version, and reports how updates ended.
//
// An Omaha server decides when a machine updates and to which version. It does not decide
// whether that version is genuine, so nothing in a response is trusted: every size is
// bounded, and the caller verifies what it downloads.
package omaha

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"coreos/internal/host/bounded"
)

// Protocol is the version of the protocol.
const Protocol = "3.0"

// CoreOSAppID is the application id of the operating system.
const CoreOSAppID = "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}"

// MaxMessage is the size limit of a message in bytes, MaxElements that of its elements and
// attributes together. A message of ours has about fifty.
const (
	MaxMessage  = 1 << 20
	MaxElements = 2000
)

// Request is a request of a machine.
type Request struct {
	XMLName        xml.Name `xml:"request"`
	Protocol       string   `xml:"protocol,attr"`
	Version        string   `xml:"version,attr,omitempty"`
	UpdaterVersion string   `xml:"updaterversion,attr,omitempty"`
	// InstallSource says why the machine asks: "scheduler" or "ondemandupdate".
	InstallSource string       `xml:"installsource,attr,omitempty"`
	IsMachine     int          `xml:"ismachine,attr,omitempty"`
	SessionID     string       `xml:"sessionid,attr,omitempty"`
	UserID        string       `xml:"userid,attr,omitempty"`
	OS            *OS          `xml:"os"`
	Apps          []AppRequest `xml:"app"`
}

// OS describes the machine.
type OS struct {
	Version  string `xml:"version,attr,omitempty"`
	Platform string `xml:"platform,attr,omitempty"`
	// SP is the version and architecture: "4891.0.0_x86_64".
	SP   string `xml:"sp,attr,omitempty"`
	Arch string `xml:"arch,attr,omitempty"`
}

// AppRequest is the part of a request about one application, here the operating system.
type AppRequest struct {
	ID      string `xml:"appid,attr"`
	Version string `xml:"version,attr"`
	// Track is the group or channel of the machine.
	Track     string `xml:"track,attr,omitempty"`
	Board     string `xml:"board,attr,omitempty"`
	BootID    string `xml:"bootid,attr,omitempty"`
	MachineID string `xml:"machineid,attr,omitempty"`
	OEM       string `xml:"oem,attr,omitempty"`
	Lang      string `xml:"lang,attr,omitempty"`
	// Delta says that the machine can download only the blocks that it lacks.
	Delta       bool                `xml:"delta_okay,attr,omitempty"`
	Ping        *Ping               `xml:"ping"`
	UpdateCheck *UpdateCheckRequest `xml:"updatecheck"`
	Events      []EventRequest      `xml:"event"`
}

// Ping says that the machine is alive.
type Ping struct {
	Active int `xml:"active,attr,omitempty"`
	// LastReportDays is the days since the last ping, -1 for the first.
	LastReportDays *int `xml:"r,attr,omitempty"`
}

// UpdateCheckRequest asks for an update.
type UpdateCheckRequest struct {
	// TargetVersionPrefix pins the machine to a version.
	TargetVersionPrefix string `xml:"targetversionprefix,attr,omitempty"`
	// RollbackAllowed asks for older versions too.
	RollbackAllowed bool `xml:"rollback_allowed,attr,omitempty"`
}

// EventRequest reports how an update goes.
type EventRequest struct {
	Type            EventType   `xml:"eventtype,attr"`
	Result          EventResult `xml:"eventresult,attr"`
	ErrorCode       int         `xml:"errorcode,attr,omitempty"`
	PreviousVersion string      `xml:"previousversion,attr,omitempty"`
	NextVersion     string      `xml:"nextversion,attr,omitempty"`
	// Reason explains ErrorCode in words. It is our addition to the protocol; other servers
	// ignore it.
	Reason string `xml:"reason,attr,omitempty"`
}

// Response is the response of a server.
type Response struct {
	XMLName  xml.Name      `xml:"response"`
	Protocol string        `xml:"protocol,attr"`
	Server   string        `xml:"server,attr,omitempty"`
	DayStart DayStart      `xml:"daystart"`
	Apps     []AppResponse `xml:"app"`
}

// DayStart has the server's time of day.
type DayStart struct {
	ElapsedSeconds int `xml:"elapsed_seconds,attr"`
	ElapsedDays    int `xml:"elapsed_days,attr,omitempty"`
}

// AppResponse is the part of a response about one application.
type AppResponse struct {
	ID          string               `xml:"appid,attr"`
	Status      Status               `xml:"status,attr"`
	Ping        *StatusOnly          `xml:"ping"`
	UpdateCheck *UpdateCheckResponse `xml:"updatecheck"`
	Events      []StatusOnly         `xml:"event"`
}

// StatusOnly acknowledges a ping or an event.
type StatusOnly struct {
	Status Status `xml:"status,attr"`
}

// UpdateCheckResponse says whether there is an update, and at which URLs.
type UpdateCheckResponse struct {
	Status Status `xml:"status,attr"`
	// PollInterval is the number of seconds after which the server wants to be asked again;
	// 0 leaves it to the machine.
	PollInterval int       `xml:"PollInterval,attr,omitempty"`
	URLs         []URL     `xml:"urls>url"`
	Manifest     *Manifest `xml:"manifest"`
}

// URL is the base URL of the packages.
type URL struct {
	CodeBase string `xml:"codebase,attr"`
}

// Manifest describes the offered version.
type Manifest struct {
	Version  string    `xml:"version,attr"`
	Packages []Package `xml:"packages>package"`
	Actions  []Action  `xml:"actions>action"`
}

// Package is a file of the offered version. Its name is relative to each URL.
type Package struct {
	Name string `xml:"name,attr"`
	// Hash is the SHA-1 in base64; SHA256 is the SHA-256 in hexadecimal.
	Hash     string `xml:"hash,attr,omitempty"`
	SHA256   string `xml:"hash_sha256,attr,omitempty"`
	Size     int64  `xml:"size,attr"`
	Required bool   `xml:"required,attr"`
}

// Action is what the machine does after the download.
type Action struct {
	Event string `xml:"event,attr"`
	// SHA256 is the SHA-256 of the payload in base64.
	SHA256                string `xml:"sha256,attr,omitempty"`
	DisablePayloadBackoff bool   `xml:"DisablePayloadBackoff,attr,omitempty"`
}

// Status is the result of one part of a request.
type Status string

// The values of Status that occur here. Others begin with "error-".
const (
	StatusOK         Status = "ok"
	StatusNoUpdate   Status = "noupdate"
	StatusUnknownApp Status = "error-unknownApplication"
	StatusInvalid    Status = "error-invalidAppId"
	StatusInternal   Status = "error-internal"
	StatusBadHash    Status = "error-hash"
	StatusOSTooOld   Status = "error-osnotsupported"
)

// EventType is the kind of an event.
type EventType int

// The event types that CoreOS's machines send.
const (
	EventDownloadComplete EventType = 1
	EventInstallComplete  EventType = 2
	EventUpdateComplete   EventType = 3
	EventDownloadStarted  EventType = 13
	EventDownloadFinished EventType = 14
)

// EventResult is the result that an event reports.
type EventResult int

// The event results of the protocol that occur here. After EventUpdateComplete,
// EventSuccess means that the update is installed, EventSuccessReboot that the
// machine runs it, EventError that it failed or was rolled back.
const (
	EventError         EventResult = 0
	EventSuccess       EventResult = 1
	EventSuccessReboot EventResult = 2
	EventDeferred      EventResult = 9
)

// ErrProtocol is in the chain of each error about a message that is not valid in the
// protocol.
var ErrProtocol = errors.New("not a valid Omaha message")

// ReadRequest reads a request, of at most MaxMessage bytes.
func ReadRequest(r io.Reader) (*Request, error) {
	return read(r, func(request *Request) string { return request.Protocol })
}

// ReadResponse reads a response, of at most MaxMessage bytes.
func ReadResponse(r io.Reader) (*Response, error) {
	return read(r, func(response *Response) string { return response.Protocol })
}

// read decodes one document. Go's decoder expands only the five entities of XML itself, so
// a small message cannot become a large one.
func read[T any](r io.Reader, protocol func(*T) string) (*T, error) {
	text, err := bounded.Read(r, MaxMessage)
	if errors.Is(err, bounded.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read an Omaha message: %w", err)
	}
	message := new(T)
	decoder := xml.NewTokenDecoder(&limited{tokens: xml.NewDecoder(bytes.NewReader(text))})
	if err := decoder.Decode(message); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if got := protocol(message); got != Protocol {
		return nil, fmt.Errorf("%w: protocol %.20q, want %q", ErrProtocol, got, Protocol)
	}
	return message, nil
}

// ErrElements is in the chain of the error about a message with too many elements.
var ErrElements = fmt.Errorf("more than %d elements and attributes", MaxElements)

// limited bounds the elements and attributes of a document.
type limited struct {
	tokens xml.TokenReader
	count  int
}

// Token implements xml.TokenReader.
func (l *limited) Token() (xml.Token, error) {
	token, err := l.tokens.Token()
	if start, ok := token.(xml.StartElement); ok {
		if l.count += 1 + len(start.Attr); l.count > MaxElements {
			return nil, ErrElements
		}
	}
	return token, err
}

// write encodes a message.
func write(w io.Writer, message any) error {
	var text bytes.Buffer
	text.WriteString(xml.Header)
	if err := xml.NewEncoder(&text).Encode(message); err != nil {
		return fmt.Errorf("write an Omaha message: %w", err)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// App returns the part of the response about an application.
func (r *Response) App(id string) (*AppResponse, error) {
	for i := range r.Apps {
		if app := &r.Apps[i]; app.ID == id {
			if app.Status != StatusOK {
				return nil, fmt.Errorf("the update server answers %q about application %s", app.Status, id)
			}
			return app, nil
		}
	}
	return nil, fmt.Errorf("%w: it has nothing about application %s", ErrProtocol, id)
}
