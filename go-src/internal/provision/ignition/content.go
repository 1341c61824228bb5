package ignition

import (
	"strings"

	context "github.com/coreos/vcontext/path"
	"github.com/vincent-petithory/dataurl"

	"coreos/internal/provision/cloudconfig"
)

// content checks the content of a file, if it is in the config.
func (m *machine) content(at context.ContextPath, file nodeEntry) {
	if file.Contents.Source == nil || file.Contents.Compression != nil && *file.Contents.Compression != "" {
		return
	}
	decoded, err := dataurl.DecodeString(*file.Contents.Source)
	if err != nil {
		return // another kind of URL
	}
	if file.Path == "/etc/hostname" {
		m.hostname(at, strings.TrimSpace(string(decoded.Data)))
	}
	if cloudconfig.HasWindowsLines(decoded.Data) {
		m.warn(at, "the script %s has line ends of Windows (CRLF): the kernel finds no interpreter whose name ends in CR", file.Path)
	}
}

// hostname checks the content of /etc/hostname.
func (m *machine) hostname(at context.ContextPath, name string) {
	switch {
	case !cloudconfig.ValidHostname(name):
		m.warn(at, "%.80q is not a valid hostname: systemd ignores it", name)
	case cloudconfig.KernelHostname(name) != strings.TrimSuffix(name, "."):
		m.warn(at, "%.80q has %d characters, more than the kernel takes: systemd cuts it off", name, len(name))
	}
}
