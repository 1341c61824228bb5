package cloudconfig

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// maxHostname is the size limit of a hostname in Linux (HOST_NAME_MAX), maxDomainName that of a
// name in DNS (RFC 1035).
const maxHostname, maxDomainName = 64, 253

var isLabel = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
})

// isHostname wants labels of RFC 1123, with dots between them.
func isHostname(s string) string {
	s = strings.TrimSuffix(s, ".")
	if len(s) > maxDomainName {
		return fmt.Sprintf("at most %d characters", maxDomainName)
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel().MatchString(label) {
			return "labels of 1 to 63 letters, digits and inner hyphens, with a dot between them"
		}
	}
	return ""
}

// ValidHostname reports whether a name is a valid hostname.
func ValidHostname(s string) bool { return isHostname(s) == "" }

// KernelHostname returns the name that the kernel takes: the first label of a name that is too
// long for it, as Container Linux does.
func KernelHostname(name string) string {
	name = strings.TrimSuffix(name, ".")
	if len(name) > maxHostname {
		name, _, _ = strings.Cut(name, ".")
	}
	return name
}

// hostname decodes a hostname.
func (d *decoder) hostname(to *string) field {
	return func(p at) {
		d.into(to, isHostname)(p)
		if short := KernelHostname(*to); len(*to) > maxHostname {
			d.warn(p, "%.80q has %d characters, more than the %d that the kernel takes: the hostname is %q", *to, len(*to), maxHostname, short)
		}
	}
}
