package datasource

import (
	"context"
	"fmt"
	"strings"
)

// CommandLine is a URL of user-data on the kernel command line: cloud-config-url=URL. In
// the name, _ is equal to -, as for all arguments. The last argument counts, as with
// upstream.
func CommandLine(cmdline string) Source {
	return source{"kernel command line", func(ctx context.Context) (*Data, error) {
		address := configURL(cmdline)
		if address == "" {
			return nil, fmt.Errorf("%w: no cloud-config-url=URL", ErrAbsent)
		}
		text, err := download(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("cloud-config-url: %w", err)
		}
		return &Data{UserData: text}, nil
	}}
}

func configURL(cmdline string) string {
	var address string
	for argument := range strings.FieldsSeq(cmdline) {
		name, value, _ := strings.Cut(argument, "=")
		if strings.ReplaceAll(name, "_", "-") == "cloud-config-url" && value != "" {
			address = value
		}
	}
	return address
}
