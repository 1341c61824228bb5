package netconf

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

var errNotRoute = errors.New("it is not a command that adds a route; other commands are not supported")

// command reads a command of an interface that adds a route. Other commands are ignored.
func (s *settings) command(o line) error {
	r, err := parseCommand(o.words[1:], s.label)
	if err == nil {
		err = s.link.addRoute(r.to, r.via, r.metric)
	}
	if err != nil {
		s.warn(o.at(), "%s %.120q is left out: %v", o.words[0], strings.Join(o.words[1:], " "), err)
	}
	return nil
}

// parseCommand parses the commands of net-tools and iproute2 that add a route.
func parseCommand(words []string, name string) (route, error) {
	var c routeCommand
	// A route that exists already is not an error.
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "||") }); i >= 0 {
		words = words[:i]
	}
	if len(words) < 3 {
		return route{}, errNotRoute
	}
	var err error
	switch path.Base(words[0]) {
	case "route":
		err = c.netTools(words[1:])
	case "ip":
		err = c.iproute(words[1:])
	default:
		err = errNotRoute
	}
	if err == nil && c.dev != "" && !slices.Contains([]string{name, "$IFACE", `"$IFACE"`, "${IFACE}"}, c.dev) {
		err = fmt.Errorf("the route is through %.80q: define it at that interface", c.dev)
	}
	if err != nil {
		return route{}, err
	}
	return c.parse()
}

// routeCommand is a command split into words.
type routeCommand struct {
	to, mask, via, metric, dev string
	// isHost says that a destination without a length is a single host.
	isHost, isIPv6 bool
}

// values reads words that have a value each, and calls other for other words.
func (c *routeCommand) values(words []string, known map[string]*string, other func(string) bool) error {
	for i := 0; i < len(words); i++ {
		if at := known[words[i]]; at != nil {
			if i++; i == len(words) {
				return fmt.Errorf("want a value after %s", words[i-1])
			}
			*at = words[i]
		} else if !other(words[i]) {
			return fmt.Errorf("unknown word %.80q", words[i])
		}
	}
	return nil
}

// target reads the destination, which may occur only once.
func (c *routeCommand) target(word string) bool {
	if c.to != "" || strings.HasPrefix(word, "-") {
		return false
	}
	c.to = word
	return true
}

// netTools reads the arguments of route(8).
func (c *routeCommand) netTools(words []string) error {
	added, isNet, family := false, false, ""
	err := c.values(words, map[string]*string{
		"netmask": &c.mask, "gw": &c.via, "metric": &c.metric, "dev": &c.dev, "-A": &family,
	}, func(word string) bool {
		switch word {
		case "add":
			added = true
		case "-net":
			isNet = true
		case "-host", "-4":
		case "-6", "--inet6":
			family = "inet6"
		default:
			return c.target(word)
		}
		return true
	})
	if err == nil && !added {
		return errNotRoute
	}
	c.isIPv6, c.isHost = family == "inet6", !isNet
	return err
}

// iproute reads the arguments of ip-route(8).
func (c *routeCommand) iproute(words []string) error {
	if words[0] == "-6" || words[0] == "-4" {
		c.isIPv6, words = words[0] == "-6", words[1:]
	}
	if len(words) < 3 || !slices.Contains([]string{"route", "ro", "r"}, words[0]) ||
		!slices.Contains([]string{"add", "append", "replace"}, words[1]) {
		return errNotRoute
	}
	c.isHost = true
	return c.values(words[2:], map[string]*string{"via": &c.via, "metric": &c.metric, "dev": &c.dev}, func(word string) bool {
		// Whether a gateway is on the link is computed later.
		return word == "onlink" || c.target(word)
	})
}

func (c *routeCommand) parse() (r route, err error) {
	if c.via != "" {
		if r.via, err = parseAddr(c.via); err != nil {
			return r, err
		}
	}
	if c.metric != "" {
		n, err := parseNumber(c.metric, 0, maxMetric)
		if err != nil {
			return r, err
		}
		r.metric = uint32(n)
	}
	bits := -1
	switch {
	case c.to == "default" && (c.isIPv6 || r.via.Is6()):
		c.to = "::/0"
	case c.to == "default":
		c.to = "0.0.0.0/0"
	case c.isHost && strings.Contains(c.to, ":"):
		bits = 128
	case c.isHost:
		bits = 32
	}
	r.to, err = parseNet(c.to, c.mask, bits)
	return r, err
}
