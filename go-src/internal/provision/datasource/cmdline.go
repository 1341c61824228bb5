package datasource

import (
	"context"
	"fmt"
	"strings"
)

// CommandLine is a URL of user-data on the kernel command line, whose text is given:
// cloud-config-url=URL. As everywhere on that line, _ counts as - in the name. The last
// one counts, as upstream has it.
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
