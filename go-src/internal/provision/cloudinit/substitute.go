package cloudinit

import (
	"regexp"
	"slices"
)

var variable = regexp.MustCompile(`\\?\$(public|private)_ipv[46]`)

// Substitute puts a machine's addresses in place of $private_ipv4, $public_ipv4,
// $private_ipv6 and $public_ipv6; a backslash keeps such a word as it is. It also returns
// the words that values lacks, which become nothing.
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
