package v2proxy

import (
	"path"
	"strings"
)

// What a key may be. The depth is bound by etcd's --max-txn-ops, 128 by default: a write
// compares two keys a directory.
const (
	MaxKeyBytes = 4096
	MaxDepth    = 48
)

// clean makes a path of what follows /v2/keys in a URL: "/a/b", or "/" for the root.
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

// marker is the v3 key of a directory itself, and the prefix of what is beneath it.
func marker(p string) string {
	if p == "/" {
		return p
	}
	return p + "/"
}

// ancestors are the directories above a path, the outermost first, the root left out.
func ancestors(p string) []string {
	var all []string
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			all = append(all, p[:i])
		}
	}
	return all
}

// pathOf tells which path a v3 key stands for, and whether as a directory. Keys that no
// path leads to, like "/a//b" and "a", are not ok.
func pathOf(key string) (p string, dir, ok bool) {
	p, dir = strings.CutSuffix(key, "/")
	return p, dir, len(p) > 1 && p[0] == '/' && path.Clean(p) == p
}

// under says whether a path is beneath a directory.
func under(dir, p string) bool { return p != dir && strings.HasPrefix(p, marker(dir)) }

// hidden says whether a path, seen from a directory above it, has a part that begins
// with an underscore.
func hidden(dir, p string) bool {
	return under(dir, p) && strings.Contains("/"+strings.TrimPrefix(p, marker(dir)), "/_")
}
