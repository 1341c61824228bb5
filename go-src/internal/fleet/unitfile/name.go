package unitfile

import (
	"errors"
	"fmt"
	"strings"
)

// Name is a unit's name and its parts. For app@1.service, the stem is app@1, the prefix app, the
// template app@.service, and the instance 1.
type Name struct {
	Full, Stem, Prefix string
	// Template and Instance are empty if the name has no @. Instance is empty for a template.
	Template, Instance string
}

// maxName bounds a name in bytes, as systemd does.
const maxName = 255

// types has the types of units that fleet runs. The value says whether there are templates.
var types = map[string]bool{
	"service": true, "socket": true, "timer": true, "path": true,
	"device": false, "mount": false, "automount": false,
}

const nameCharacters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@"

// ParseName splits a name into its parts. It refuses names that systemd refuses, and types of
// units that fleet does not run.
func ParseName(name string) (Name, error) {
	if name == "" {
		return Name{}, errors.New("unit name cannot be empty")
	}
	if len(name) > maxName {
		return Name{}, fmt.Errorf("unit name %.40q… is longer than %d bytes", name, maxName)
	}
	dot := strings.LastIndex(name, ".")
	if dot < 0 {
		return Name{}, fmt.Errorf("unit name %q has no type, such as .service", name)
	}
	stem, kind := name[:dot], name[dot+1:]
	templates, known := types[kind]
	if !known {
		return Name{}, fmt.Errorf("unit name %q: %q is no type of units that fleet runs", name, kind)
	}
	if i := strings.IndexFunc(stem, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }); i >= 0 {
		return Name{}, fmt.Errorf("invalid character %q in unit name %q", []rune(stem[i:])[0], name)
	}
	prefix, instance, at := strings.Cut(stem, "@")
	switch {
	case prefix == "":
		return Name{}, fmt.Errorf("unit name %q has nothing before its type or its @", name)
	case at && !templates:
		return Name{}, fmt.Errorf("unit name %q: there are no templates of type %q", name, kind)
	}
	n := Name{Full: name, Stem: stem, Prefix: prefix}
	if at {
		n.Template, n.Instance = prefix+"@."+kind, instance
	}
	return n, nil
}

// IsTemplate reports whether the name is that of a template, which cannot run itself.
func (n Name) IsTemplate() bool { return n.Template != "" && n.Instance == "" }

// expand replaces the specifiers that fleet knows.
func (n Name) expand(text string) string {
	return strings.NewReplacer("%n", n.Full, "%N", n.Stem, "%p", n.Prefix, "%i", n.Instance).Replace(text)
}

// SameTemplate reports whether two names are instances of the same template.
func SameTemplate(a, b string) bool {
	prefixA, _, atA := strings.Cut(a, "@")
	prefixB, _, atB := strings.Cut(b, "@")
	return atA && atB && prefixA == prefixB && a[strings.LastIndex(a, "."):] == b[strings.LastIndex(b, "."):]
}
