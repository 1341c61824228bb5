package netconf

import (
	"errors"
	"fmt"
	"strings"
)

// line is a line of an interfaces(5) file, joined with its continuation lines.
type line struct {
	number int
	words  []string
}

func (l line) at() string { return fmt.Sprintf("line %d", l.number) }

// stanza is an iface line with its options.
type stanza struct {
	line
	name, family, method string
	options              []line
}

// debian is the state of reading an interfaces(5) file.
type debian struct {
	*plan
	ifaces map[string]*iface
	order  []*iface
}

// iface is an interface, which may have several stanzas, with its connections to other
// interfaces. These may be defined later, so they are resolved at the end.
type iface struct {
	*link
	raw, id, master string
	slaves, primary []string
	isBond          bool
}

// readDebian reads an interfaces(5) file into the plan. It configures all interfaces, with
// or without auto: the interfaces on a config drive are there to be used.
func readDebian(p *plan, text []byte) error {
	d := &debian{p, map[string]*iface{}, nil}
	stanzas, err := d.stanzas(debianLines(string(text)))
	if err != nil {
		return err
	}
	for i := range stanzas {
		if err := d.stanza(&stanzas[i]); err != nil {
			return err
		}
	}
	// Further interfaces are added to the list when they are named.
	for i := 0; i < len(d.order); i++ {
		f := d.order[i]
		if err := d.connect(f); err != nil {
			return fmt.Errorf("%s: interface %q: %w", f.at, f.label, err)
		}
	}
	for _, f := range d.order {
		d.prefer(f)
	}
	return nil
}

// debianLines splits a file into lines. A comment is a whole line.
func debianLines(text string) []line {
	var lines []line
	var words []string
	number, more := 0, false
	for each := range strings.SplitSeq(text, "\n") {
		number++
		each = strings.TrimSpace(each)
		if !more && strings.HasPrefix(each, "#") {
			continue
		}
		each, more = strings.CutSuffix(each, `\`)
		words = append(words, strings.Fields(each)...)
		if !more && len(words) > 0 {
			lines = append(lines, line{number, words})
			words = nil
		}
	}
	if len(words) > 0 {
		lines = append(lines, line{number, words})
	}
	return lines
}

// stanzas returns the iface stanzas and ignores the others.
func (d *debian) stanzas(lines []line) ([]stanza, error) {
	var stanzas []stanza
	var options *[]line
	for _, l := range lines {
		switch word := l.words[0]; {
		case word == "iface":
			if len(l.words) != 4 {
				return nil, fmt.Errorf("%s: %.80q: want iface NAME FAMILY METHOD", l.at(), strings.Join(l.words, " "))
			}
			stanzas = append(stanzas, stanza{line: l, name: l.words[1], family: l.words[2], method: l.words[3]})
			options = &stanzas[len(stanzas)-1].options
		case word == "auto" || word == "no-auto-down" || word == "no-scripts" || strings.HasPrefix(word, "allow-"):
			options = nil
		case word == "source" || word == "source-directory":
			d.warn(l.at(), "%s: there are no other files", word)
			options = nil
		case word == "mapping" || word == "template" || word == "rename":
			d.warn(l.at(), "%s is not done", word)
			options = &[]line{}
		case options == nil:
			return nil, fmt.Errorf("%s: %.80q: want iface, auto, or an option after iface", l.at(), word)
		default:
			*options = append(*options, l)
		}
	}
	return stanzas, nil
}

// iface returns the interface with a name, which is created if necessary. A name such as
// eth0:1 stands for further addresses of eth0.
func (d *debian) iface(at, name string) (*iface, error) {
	name, _, _ = strings.Cut(name, ":")
	if f := d.ifaces[name]; f != nil {
		return f, nil
	}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	f := &iface{link: &link{at: at, label: name}}
	d.ifaces[name] = f
	d.order = append(d.order, f)
	return f, d.add(f.link)
}

func (d *debian) stanza(s *stanza) error {
	if s.method == "loopback" || s.name == "lo" {
		return d.loopback(s)
	}
	if s.family != "inet" && s.family != "inet6" {
		d.warn(s.at(), "interfaces of family %.80q are not set up", s.family)
		return nil
	}
	f, err := d.iface(s.at(), s.name)
	if err != nil {
		return err
	}
	switch s.method + " " + s.family {
	case "static inet", "static inet6", "manual inet", "manual inet6":
	case "dhcp inet":
		f.dhcp4 = true
	case "dhcp inet6":
		f.dhcp6, f.ra = true, taken
	case "auto inet6":
		f.ra = taken
	default:
		return fmt.Errorf("%s: %.80q: want static, dhcp, manual, loopback, or auto with inet6", s.at(), s.method)
	}
	set := settings{debian: d, iface: f, stanza: s}
	for _, o := range s.options {
		if err := set.option(o); err != nil {
			return fmt.Errorf("%s: %s: %w", o.at(), o.words[0], err)
		}
	}
	return set.finish()
}

// loopback reads name servers, which people define there if they belong to no particular
// interface.
func (d *debian) loopback(s *stanza) error {
	for _, o := range s.options {
		if known, err := readNames(&d.dns, &d.domains, o); err != nil {
			return fmt.Errorf("%s: %s: %w", o.at(), o.words[0], err)
		} else if !known {
			d.warn(o.at(), "%.80q of %.80q is left out", o.words[0], s.name)
		}
	}
	return nil
}

// connect resolves the connections of an interface.
func (d *debian) connect(f *iface) error {
	if err := d.connectVLAN(f); err != nil {
		return err
	}
	if f.master != "" {
		if f.isBond {
			d.warn(f.at, "%s has options of a bond, and is a part of one: they are left out", f.label)
		}
		to := d.ifaces[f.master]
		if to == nil {
			return fmt.Errorf("there is no bond %.80q", f.master)
		}
		to.primary = append(to.primary, f.primary...)
		if err := d.enslave(f, to); err != nil {
			return err
		}
	} else if f.isBond {
		if f.kind == vlan {
			return errors.New("it is both a VLAN and a bond")
		}
		f.kind = bond
	}
	for _, name := range f.slaves {
		part, err := d.iface(f.at, name)
		if err == nil {
			err = d.enslave(part, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *debian) enslave(part, to *iface) error {
	to.kind = bond
	return part.enslave(to.link)
}

// connectVLAN finds the base of a VLAN and its number. Both are options or part of the
// name, as in eth0.100, or in vlan100 with vlan-raw-device eth0.
func (d *debian) connectVLAN(f *iface) error {
	raw, id := f.raw, f.id
	dot := strings.LastIndexByte(f.label, '.')
	if isNumber(f.label[dot+1:]) && dot > 0 {
		if raw == "" {
			raw = f.label[:dot]
		}
		if id == "" {
			id = f.label[dot+1:]
		}
	}
	if raw == "" && id == "" {
		return nil
	}
	if number, ok := strings.CutPrefix(f.label, "vlan"); ok && id == "" && isNumber(number) {
		id = number
	}
	if raw == "" || id == "" {
		return errors.New("want both vlan-raw-device and vlan-id, or a name such as eth0.100")
	}
	on, err := d.iface(f.at, raw)
	if err != nil {
		return err
	}
	f.kind, f.on = vlan, on.link
	if f.link.id, err = parseID(id); err != nil {
		return fmt.Errorf("number of the VLAN: %w", err)
	}
	return nil
}

func isNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// prefer marks the preferred member of a bond: the first in its list that exists.
func (d *debian) prefer(f *iface) {
	for _, name := range f.primary {
		if part := d.ifaces[name]; part != nil && part.bond == f.link {
			part.link.primary = true
			return
		}
	}
}
