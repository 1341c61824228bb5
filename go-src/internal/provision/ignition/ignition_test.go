package ignition

import (
	"errors"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name, text string
		problem    string // in one of the problems, or the error
		refused    bool
	}{
		{"good", `{"ignition": {"version": "3.4.0"}}`, "", false},
		{"unused key", "{\"ignition\": {\"version\": \"3.4.0\"},\n \"hostname\": \"x\"}", "line 2, column 2: warning: $.hostname: unused key hostname", false},
		{"relative path", "{\"ignition\": {\"version\": \"3.4.0\"}, \"storage\": {\"files\": [\n{\"path\": \"etc/x\"}]}}", "line 2, column 10: error: $.storage.files.0.path: path not absolute", true},
		{"not JSON", "{\n \"ignition\": x}", "invalid", true},
		{"spec 2", `{"ignition": {"version": "2.3.0"}}`, "unsupported config version", true},
		{"spec 2 of Container Linux", `{"ignition": {"version": "2.3.0"}}`, "it is a config of spec 2.3.0, for Container Linux", true},
		{"spec 1", `{"ignitionVersion": 1}`, "it is a config of spec 1", true},
		{"no version", `{}`, "version", true},
		{"empty", "", "empty", true},
		{"large", strings.Repeat(" ", MaxConfig+1), "more than", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems, err := Validate([]byte(test.text))
			if errors.Is(err, ErrConfig) != test.refused {
				t.Errorf("got error %v", err)
			}
			told := strings.Join(problems, "\n")
			if err != nil {
				told += "\n" + err.Error()
			}
			if !strings.Contains(told, test.problem) {
				t.Errorf("told was:\n%s\nwithout %q", told, test.problem)
			}
		})
	}
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(`{"ignition": {"version": "3.4.0", "config": {"merge": [{"source": "data:,x"}]}}, "storage": {"files": [{"path": "/x"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		problems, err := Validate(text)
		if err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%v: %v", err, problems)
		}
	})
}
