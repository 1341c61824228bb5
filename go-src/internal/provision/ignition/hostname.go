package ignition

import (
	"strings"

	context "github.com/coreos/vcontext/path"
	"github.com/vincent-petithory/dataurl"

	"coreos/internal/provision/cloudconfig"
)

// hostname checks the content of /etc/hostname, if it is in the config.
func (m *machine) hostname(at context.ContextPath, source string) {
	decoded, err := dataurl.DecodeString(source)
	if err != nil {
		return // another kind of URL
	}
	name := strings.TrimSpace(string(decoded.Data))
	switch {
	case !cloudconfig.ValidHostname(name):
		m.warn(at, "%.80q is not a valid hostname: systemd ignores it", name)
	case cloudconfig.KernelHostname(name) != strings.TrimSuffix(name, "."):
		m.warn(at, "%.80q has %d characters, more than the kernel takes: systemd cuts it off", name, len(name))
	}
}
