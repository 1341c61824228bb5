package v2proxy

import (
	"path"
	"strings"
)

// Limits of keys. The depth depends on --max-txn-ops of etcd, 128 by default: a write
// compares two keys for each directory.
const (
	MaxKeyBytes = 4096
	MaxDepth    = 48
)

// clean returns the path for the part of a URL after /v2/keys: "/a/b", or "/" for the root.
func clean(raw string) (string, *Error) {
	p := path.Clean("/" + raw)
	if len(p) > MaxKeyBytes {
		return "", fail(CodeInvalidField, 0, "the key has more than %d bytes", MaxKeyBytes)
	}
	if strings.Count(p, "/") > MaxDepth {
		return "", fail(CodeInvalidField, 0, "the key has more than %d parts", MaxDepth)
	}
	return p, nil
}

// marker returns the v3 key of a directory, which is also the prefix of the keys in it.
func marker(p string) string {
	if p == "/" {
		return p
	}
	return p + "/"
}

// ancestors returns the directories above a path, the outermost first, without the root.
func ancestors(p string) []string {
	var all []string
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			all = append(all, p[:i])
		}
	}
	return all
}

// pathOf returns the path that a v3 key stands for, and whether it is a directory. ok is
// false for keys that no path stands for, such as "/a//b" and "a".
func pathOf(key string) (p string, dir, ok bool) {
	p, dir = strings.CutSuffix(key, "/")
	return p, dir, len(p) > 1 && p[0] == '/' && path.Clean(p) == p
}

// under reports whether a path is below a directory.
func under(dir, p string) bool { return p != dir && strings.HasPrefix(p, marker(dir)) }

// hidden reports whether a part of a path below a directory begins with an underscore.
func hidden(dir, p string) bool {
	return under(dir, p) && strings.Contains("/"+strings.TrimPrefix(p, marker(dir)), "/_")
}
