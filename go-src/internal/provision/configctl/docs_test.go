package configctl

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentedConfig checks the complete config of docs/cloud-config.md, which people copy.
func TestDocumentedConfig(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/cloud-config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## A complete config\n")
	if !found {
		t.Fatal("the page has no such section")
	}
	var text strings.Builder
	for line := range strings.Lines(section) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			text.WriteString(code)
		} else if text.Len() > 0 && strings.TrimSpace(line) != "" {
			break
		}
	}
	if problems, err := validate([]byte(text.String()), ""); len(problems) > 0 || err != nil || text.Len() < 500 {
		t.Errorf("%d bytes: %q, error %v", text.Len(), problems, err)
	}
}
