package datasource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coreos/internal/host/treetest"
)

func TestFile(t *testing.T) {
	dir := treetest.Dir(t, map[string]string{"config": config, "empty": "", "large": strings.Repeat("#", MaxUserData+1)})
	check(t, File(filepath.Join(dir, "config")), &Data{UserData: []byte(config)}, nil)
	check(t, File(filepath.Join(dir, "empty")), &Data{}, nil)
	check(t, File(filepath.Join(dir, "none")), nil, ErrAbsent)
	check(t, File(dir), nil, ErrInvalid)
	check(t, File(filepath.Join(dir, "config", "below")), nil, ErrInvalid)
	check(t, File(filepath.Join(dir, "large")), nil, ErrTooLarge)
	check(t, File("/dev/zero"), nil, ErrTooLarge)
}

// TestFilePipe is cloud-init --from-file=/dev/stdin.
func TestFilePipe(t *testing.T) {
	pipe, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", pipe.Fd())
	if _, err := writer.WriteString(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := File(path).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a pipe that does not end", err)
	}
	if _, err := writer.WriteString(config); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, File(path), &Data{UserData: []byte(config)}, nil)
}

func TestCommandLine(t *testing.T) {
	url := serve(t, answers{"/config": config}.ServeHTTP)
	tests := map[string]struct {
		cmdline string
		want    error
	}{
		"one":        {"quiet cloud-config-url=" + url + "config root=/dev/sda\n", nil},
		"with _":     {"cloud_config_url=" + url + "config", nil},
		"the last":   {"cloud-config-url=" + nobody + " cloud-config-url=" + url + "config", nil},
		"then empty": {"cloud-config-url=" + url + "config cloud-config-url= cloud-config-url", nil},
		"none":       {"quiet", ErrAbsent},
		"empty":      {"", ErrAbsent},
		"no value":   {"cloud-config-url= quiet", ErrAbsent},
		"no URL":     {"cloud-config-url=config.yml", ErrInvalid},
		"no HTTP":    {"cloud-config-url=file:///etc/passwd", ErrInvalid},
		"malformed":  {"cloud-config-url=http://[::1/%zz", ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { check(t, CommandLine(test.cmdline), &Data{UserData: []byte(config)}, test.want) })
	}
}

func FuzzConfigURL(f *testing.F) {
	f.Add("quiet cloud-config-url=http://one.example/ cloud_config_url=x")
	f.Fuzz(func(t *testing.T, cmdline string) {
		if address := configURL(cmdline); !strings.Contains(cmdline, address) {
			t.Errorf("%q of %q", address, cmdline)
		}
	})
}
