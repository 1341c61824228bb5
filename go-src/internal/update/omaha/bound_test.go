package omaha

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A message of few bytes may have many elements, for each of which the machine works.
func TestTooManyElements(t *testing.T) {
	response := func(inside string) string {
		return `<response protocol="3.0"><app appid="x" status="ok"><updatecheck status="ok">` + inside + `</updatecheck></app></response>`
	}
	for name, text := range map[string]string{
		"urls":       response("<urls>" + strings.Repeat("<url/>", 100_000) + "</urls>"),
		"lists":      response(strings.Repeat("<urls><url/></urls>", 40_000)),
		"unknown":    response(strings.Repeat("<x/>", 200_000)),
		"apps":       `<response protocol="3.0">` + strings.Repeat(`<app/>`, 100_000) + `</response>`,
		"deep":       response(strings.Repeat("<a>", 100_000) + strings.Repeat("</a>", 100_000)),
		"attributes": `<response protocol="3.0" ` + strings.Repeat(`a="" `, 150_000) + `/>`,
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := ReadResponse(strings.NewReader(text))
			if !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrElements) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	if _, err := ReadRequest(strings.NewReader(`<request protocol="3.0"><app appid="x">` + strings.Repeat("<event/>", 50_000) + `</app></request>`)); !errors.Is(err, ErrElements) {
		t.Errorf("events: error %v", err)
	}
	if _, err := ReadResponse(strings.NewReader(response("<urls>" + strings.Repeat(`<url codebase="http://a/"/>`, 500) + "</urls>"))); err != nil {
		t.Errorf("many, but not too many: %v", err)
	}
}
