package omaha

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A request as upstream's update-engine sent it.
const upstreamRequest = `<?xml version="1.0" encoding="UTF-8"?>
<request protocol="3.0" version="CoreOSUpdateEngine-0.1.0.0" updaterversion="CoreOSUpdateEngine-0.1.0.0" installsource="ondemandupdate" ismachine="1">
    <os version="Chateau" platform="CoreOS" sp="1122.2.0_x86_64"></os>
    <app appid="{e96281a6-d1af-4bde-9a0a-97b76e56dc57}" version="1122.2.0" track="beta" bootid="{fake}" machineid="abc" oem="ami" oemversion="" alephversion="" lang="en-US" board="amd64-usr" hardware_class="" delta_okay="false">
        <ping active="1"></ping>
        <updatecheck></updatecheck>
        <event eventtype="3" eventresult="2" previousversion="1068.9.0"></event>
    </app>
</request>`

// A response as upstream's CoreUpdate gave it.
const upstreamResponse = `<?xml version="1.0" encoding="UTF-8"?>
<response protocol="3.0" server="update.core-os.net"><daystart elapsed_seconds="0"></daystart>
 <app appid="{e96281a6-d1af-4bde-9a0a-97b76e56dc57}" status="ok">
  <ping status="ok"></ping>
  <updatecheck status="ok" PollInterval="3600">
   <urls><url codebase="https://one.example/amd64-usr/"></url><url codebase="https://two.example/"></url></urls>
   <manifest version="1185.3.0">
    <packages><package hash="VGVzdA==" name="update.gz" size="211936" required="true"></package></packages>
    <actions><action event="postinstall" sha256="c2hh" needsadmin="false" IsDelta="false" DisablePayloadBackoff="true"></action></actions>
   </manifest>
  </updatecheck>
  <event status="ok"></event>
 </app>
</response>`

func TestReadRequest(t *testing.T) {
	got, err := ReadRequest(strings.NewReader(upstreamRequest))
	if err != nil {
		t.Fatal(err)
	}
	app := got.Apps[0]
	if got.InstallSource != "ondemandupdate" || got.OS.SP != "1122.2.0_x86_64" || app.ID != CoreOSAppID ||
		app.Track != "beta" || app.Delta || app.Ping == nil || app.UpdateCheck == nil {
		t.Errorf("got %+v", got)
	}
	want := []EventRequest{{Type: EventUpdateComplete, Result: EventSuccessReboot, PreviousVersion: "1068.9.0"}}
	if !reflect.DeepEqual(app.Events, want) {
		t.Errorf("events %+v, want %+v", app.Events, want)
	}
}

func TestReadResponse(t *testing.T) {
	got, err := ReadResponse(strings.NewReader(upstreamResponse))
	if err != nil {
		t.Fatal(err)
	}
	app, err := got.App(CoreOSAppID)
	if err != nil {
		t.Fatal(err)
	}
	check := app.UpdateCheck
	if check.PollInterval != 3600 || len(check.URLs) != 2 || check.URLs[1].CodeBase != "https://two.example/" ||
		check.Manifest.Version != "1185.3.0" || check.Manifest.Packages[0].Size != 211936 ||
		!check.Manifest.Actions[0].DisablePayloadBackoff {
		t.Errorf("got %+v", check)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"no XML":            "502 Bad Gateway",
		"a request":         upstreamRequest,
		"another protocol":  strings.Replace(upstreamResponse, `"3.0"`, `"4.0"`, 1),
		"cut short":         upstreamResponse[:len(upstreamResponse)/2],
		"no number":         strings.Replace(upstreamResponse, `"211936"`, `"many"`, 1),
		"an unknown entity": strings.Replace(upstreamResponse, "1185.3.0", "&version;", 1),
		"too long":          strings.Replace(upstreamResponse, "<app ", strings.Repeat(" ", MaxMessage)+"<app ", 1),
		"too deep":          `<response protocol="3.0">` + strings.Repeat("<app>", 20000),
	} {
		if _, err := ReadResponse(strings.NewReader(text)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: error %v, want one of the protocol", name, err)
		}
	}
}

func TestApp(t *testing.T) {
	response := &Response{Apps: []AppResponse{{ID: "a", Status: StatusOK}, {ID: "b", Status: StatusUnknownApp}}}
	for id, wantErr := range map[string]string{"a": "", "b": "error-unknownApplication", "c": "nothing about"} {
		_, err := response.App(id)
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("App(%q): %v, want %q", id, err, wantErr)
		}
	}
}

// recorder is an Updater that offers one version and remembers what it was told.
type recorder struct {
	told []string
}

func (r *recorder) Check(_ *Request, app *AppRequest) (*UpdateCheckResponse, error) {
	switch {
	case app.ID != CoreOSAppID:
		return nil, fmt.Errorf("%w: %s", ErrUnknownApp, app.ID)
	case app.Track == "broken":
		return nil, errors.New("the database is away")
	case app.Version == "2.0.0":
		return nil, nil
	}
	return &UpdateCheckResponse{Status: StatusOK, PollInterval: 60, URLs: []URL{{"https://x.example/"}},
		Manifest: &Manifest{Version: "2.0.0", Packages: []Package{{Name: "bundle", Size: 7, Required: true}}}}, nil
}

func (r *recorder) Event(_ *Request, app *AppRequest, event *EventRequest) error {
	r.told = append(r.told, fmt.Sprintf("event %s %d.%d %s", app.Version, event.Type, event.Result, event.Reason))
	return nil
}

func (r *recorder) Ping(_ *Request, app *AppRequest) error {
	r.told = append(r.told, "ping "+app.Version)
	return nil
}

func TestClientAndServer(t *testing.T) {
	updater := &recorder{}
	server := httptest.NewServer(Handler(updater))
	defer server.Close()
	client := &Client{URL: server.URL, HTTP: server.Client()}
	ask := func(id, version, track string) AppResponse {
		t.Helper()
		response, err := client.Do(context.Background(), &Request{Protocol: Protocol, Apps: []AppRequest{{
			ID: id, Version: version, Track: track, Ping: &Ping{Active: 1}, UpdateCheck: &UpdateCheckRequest{},
			Events: []EventRequest{{Type: EventUpdateComplete, Result: EventError, Reason: "health check <net> failed"}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(response.Apps) != 1 {
			t.Fatalf("%d answers", len(response.Apps))
		}
		return response.Apps[0]
	}
	app := ask(CoreOSAppID, "1.0.0", "stable")
	if app.UpdateCheck.Status != StatusOK || app.UpdateCheck.Manifest.Version != "2.0.0" || app.UpdateCheck.PollInterval != 60 {
		t.Errorf("an old machine got %+v", app.UpdateCheck)
	}
	if app.Ping.Status != StatusOK || len(app.Events) != 1 || app.Events[0].Status != StatusOK {
		t.Errorf("ping and event were answered %+v", app)
	}
	for what, test := range map[string]struct {
		id, version, track string
		app, check         Status
	}{
		"a new machine":       {CoreOSAppID, "2.0.0", "stable", StatusOK, StatusNoUpdate},
		"another application": {"{0}", "1.0.0", "stable", StatusUnknownApp, ""},
		"a broken group":      {CoreOSAppID, "1.0.0", "broken", StatusOK, StatusInternal},
	} {
		app := ask(test.id, test.version, test.track)
		var check Status
		if app.UpdateCheck != nil {
			check = app.UpdateCheck.Status
		}
		if app.Status != test.app || check != test.check {
			t.Errorf("%s: %q and %q, want %q and %q", what, app.Status, check, test.app, test.check)
		}
	}
	if want := "event 1.0.0 3.0 health check <net> failed"; updater.told[1] != want {
		t.Errorf("told %q, want %q", updater.told[1], want)
	}
}

func TestServerRefuses(t *testing.T) {
	handler := Handler(&recorder{})
	for what, test := range map[string]struct {
		method, body string
		status       int
	}{
		"GET":         {http.MethodGet, "", http.StatusMethodNotAllowed},
		"no XML":      {http.MethodPost, "{}", http.StatusBadRequest},
		"a response":  {http.MethodPost, upstreamResponse, http.StatusBadRequest},
		"too long":    {http.MethodPost, strings.Repeat(" ", MaxMessage+1), http.StatusBadRequest},
		"a good one":  {http.MethodPost, upstreamRequest, http.StatusOK},
		"no protocol": {http.MethodPost, "<request/>", http.StatusBadRequest},
	} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(test.method, "/", strings.NewReader(test.body)))
		if recorder.Code != test.status {
			t.Errorf("%s: status %d, want %d", what, recorder.Code, test.status)
		}
	}
}

func TestClientErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Error(w, "try later", http.StatusServiceUnavailable)
		case "/page":
			fmt.Fprint(w, "<html></html>")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{"/away": "503", "/page": "not a valid Omaha message", "/endless": "too large"} {
		client := &Client{URL: server.URL + path, HTTP: server.Client()}
		if _, err := client.Do(context.Background(), &Request{Protocol: Protocol}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

func TestDayStart(t *testing.T) {
	now := time.Date(2026, 11, 21, 1, 2, 3, 0, time.FixedZone("east", 3600))
	if got := respond(&recorder{}, &Request{}, now).DayStart.ElapsedSeconds; got != 2*60+3 {
		t.Errorf("%d seconds since midnight UTC, want 123", got)
	}
}

func FuzzReadResponse(f *testing.F) {
	f.Add([]byte(upstreamResponse))
	f.Add([]byte(`<response protocol="3.0"><app appid="a" status="noupdate"/></response>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		response, err := ReadResponse(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		// What was read can be written and read again.
		var again strings.Builder
		if err := write(&again, response); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadResponse(strings.NewReader(again.String())); err != nil {
			t.Fatalf("%v: %s", err, again.String())
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(upstreamRequest))
	f.Fuzz(func(_ *testing.T, text []byte) {
		if request, err := ReadRequest(strings.NewReader(string(text))); err == nil {
			respond(&recorder{}, request, time.Unix(0, 0))
		}
	})
}
