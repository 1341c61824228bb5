package omaha

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Updater decides about the requests of machines. Its methods are called concurrently.
type Updater interface {
	// Check answers an update check. It returns nil if there is no update.
	Check(*Request, *AppRequest) (*UpdateCheckResponse, error)
	// Event records how an update ended.
	Event(*Request, *AppRequest, *EventRequest) error
	// Ping records that a machine is alive.
	Ping(*Request, *AppRequest) error
}

// ErrUnknownApp is the error of an Updater for an application that it does not have.
var ErrUnknownApp = errors.New("unknown application")

// Handler serves the requests of machines with the answers of an Updater.
func Handler(updater Updater) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "machines post their requests here", http.StatusMethodNotAllowed)
			return
		}
		request, err := ReadRequest(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		if err := write(w, respond(updater, request, time.Now())); err != nil {
			slog.Warn("the response could not be sent to the machine", "machine", r.RemoteAddr, "error", err)
		}
	})
}

// respond answers each application of a request. An error about one does not affect the
// others.
func respond(updater Updater, request *Request, now time.Time) *Response {
	now = now.UTC()
	midnight := now.Truncate(24 * time.Hour)
	response := &Response{Protocol: Protocol, Server: "coreos", DayStart: DayStart{ElapsedSeconds: int(now.Sub(midnight).Seconds())}}
	for i := range request.Apps {
		response.Apps = append(response.Apps, respondApp(updater, request, &request.Apps[i]))
	}
	return response
}

func respondApp(updater Updater, request *Request, app *AppRequest) AppResponse {
	response := AppResponse{ID: app.ID, Status: StatusOK}
	if app.Ping != nil {
		response.Ping = &StatusOnly{statusOf(updater.Ping(request, app))}
	}
	for i := range app.Events {
		response.Events = append(response.Events, StatusOnly{statusOf(updater.Event(request, app, &app.Events[i]))})
	}
	if app.UpdateCheck != nil {
		check, err := updater.Check(request, app)
		switch {
		case errors.Is(err, ErrUnknownApp):
			return AppResponse{ID: app.ID, Status: StatusUnknownApp}
		case err != nil:
			check = &UpdateCheckResponse{Status: statusOf(err)}
		case check == nil:
			check = &UpdateCheckResponse{Status: StatusNoUpdate}
		}
		response.UpdateCheck = check
	}
	return response
}

// statusOf returns the status that a machine gets for an error. The text of the error is
// logged only.
func statusOf(err error) Status {
	if err == nil {
		return StatusOK
	}
	slog.Error("a request of a machine failed", "error", err)
	return StatusInternal
}
