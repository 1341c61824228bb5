package cloudconfig

import (
	"regexp"
	"slices"
)

var variable = regexp.MustCompile(`\\?\$(public|private)_ipv[46]`)

// Substitute replaces $private_ipv4, $public_ipv4, $private_ipv6 and $public_ipv6 by the
// addresses of the machine. A backslash before such a word keeps it. The words for which
// there is no value are replaced by nothing, and are also returned.
func Substitute(text []byte, values map[string]string) (result []byte, unknown []string) {
	result = variable.ReplaceAllFunc(text, func(word []byte) []byte {
		if word[0] == '\\' {
			return word[1:]
		}
		value := values[string(word[1:])]
		if value == "" && !slices.Contains(unknown, string(word)) {
			unknown = append(unknown, string(word))
		}
		return []byte(value)
	})
	return result, unknown
}
