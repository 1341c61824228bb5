package cloudconfig

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"coreos/internal/host/window"
)

// Checks of a text. Each returns what it wants, or "" if the text is valid.

func matching(pattern, want string) func(string) string {
	// Not at the start of the process: other commands are in the same binary.
	expression := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) })
	return func(s string) string {
		if expression().MatchString(s) {
			return ""
		}
		return want
	}
}

func oneOf(words ...string) func(string) string {
	return func(s string) string {
		if slices.Contains(words, s) {
			return ""
		}
		return "one of " + strings.Join(words, ", ")
	}
}

// account matches the names that useradd(8) takes on both bases.
const account = `[A-Za-z0-9_.][A-Za-z0-9_.-]{0,30}[A-Za-z0-9_.$-]?`

var (
	isAccountName = matching(account, "a name of letters, digits, _, . and -, at most 32")
	isOwner       = matching(account+`(:`+account+`)?`, "user or user:group")
	isMode        = matching(`0?[0-7]{3,4}`, "three or four octal digits, as in 0644")
	isUnit        = matching(`[A-Za-z0-9:_.\\@-]{1,240}\.(service|socket|target|mount|automount|swap|timer|path|slice|network|netdev|link)`,
		"the name of a unit, without slashes, as in web.service")
	isDropIn = matching(`[A-Za-z0-9:_.\\@-]{1,240}\.conf`, "a name without slashes that ends in .conf")
	isLine   = matching(`[^\n\r\x00]*`, "a single line")
)

func isWindow(s string) string {
	if window.ParseStart(s) != nil {
		return "a time, as in 14:00, Thu 23:00 or Mon-Fri 02:00"
	}
	return ""
}

func isDuration(s string) string {
	if _, err := window.ParseLength(s); err != nil {
		return "a duration, as in 1h30m or 2 hours"
	}
	return ""
}

func isURL(s string) string {
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "an http or https URL"
	}
	return ""
}

// isAccount wants the name of a user or a group. useradd(8) takes a name of digits for an id.
func isAccount(s string) string {
	if s == "." || s == ".." || strings.Trim(s, "0123456789") == "" {
		return "a name that is not a number"
	}
	return isAccountName(s)
}

// isPath wants a path of a file that belongs to the machine.
func isPath(s string) string {
	if !path.IsAbs(s) || path.Clean(s) != s || s == "/" || strings.ContainsRune(s, 0) || len(s) > 4000 {
		return "an absolute path without .., as in /etc/motd"
	}
	for _, dir := range []string{"/usr", "/proc", "/sys", "/dev", "/bin", "/sbin", "/lib", "/lib64"} {
		if s == dir || strings.HasPrefix(s, dir+"/") {
			return "a path outside of " + dir + ", which cannot be written"
		}
	}
	return ""
}

func isHomedir(s string) string {
	if isPath(s) != "" || strings.ContainsAny(s, ":\n\r") {
		return "an absolute path outside of /usr"
	}
	return ""
}

// isPasswd wants a text that can be in a field of passwd or shadow.
func isPasswd(s string) string {
	if strings.ContainsAny(s, ":\n\r\x00") {
		return "a text without colons and ends of lines"
	}
	return ""
}
