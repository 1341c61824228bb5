package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// bondOption says how an option of a bond is written for systemd-networkd.
type bondOption struct {
	key string
	// one are the permitted values. A value may also be given by its index, as for the
	// bonding driver.
	one []string
	// parse parses a value that is not one of a list.
	parse func(string) (string, error)
}

// bondOptions are the options by their names in the bonding driver.
var bondOptions = map[string]bondOption{
	"mode": {key: "Mode", one: []string{
		"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb",
	}},
	"lacp-rate": {key: "LACPTransmitRate", one: []string{"slow", "fast"}},
	"xmit-hash-policy": {key: "TransmitHashPolicy", one: []string{
		"layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4",
	}},
	"ad-select":        {key: "AdSelect", one: []string{"stable", "bandwidth", "count"}},
	"fail-over-mac":    {key: "FailOverMACPolicy", one: []string{"none", "active", "follow"}},
	"primary-reselect": {key: "PrimaryReselectPolicy", one: []string{"always", "better", "failure"}},
	"arp-validate":     {key: "ARPValidate", one: []string{"none", "active", "backup", "all"}},
	"arp-all-targets":  {key: "ARPAllTargets", one: []string{"any", "all"}},
	"miimon":           {key: "MIIMonitorSec", parse: milliseconds},
	"updelay":          {key: "UpDelaySec", parse: milliseconds},
	"downdelay":        {key: "DownDelaySec", parse: milliseconds},
	"arp-interval":     {key: "ARPIntervalSec", parse: milliseconds},
	"arp-ip-target":    {key: "ARPIPTargets", parse: arpTargets},
	"min-links": {key: "MinLinks", parse: func(text string) (string, error) {
		n, err := parseNumber(text, 0, maxLinks)
		return strconv.Itoa(n), err
	}},
}

// monitorDefault is how often a bond checks its links by default, in milliseconds; the
// default of the bonding driver is never.
const monitorDefault = "100"

func milliseconds(text string) (string, error) {
	n, err := parseNumber(text, 0, 60*60*1000)
	return strconv.Itoa(n) + "ms", err
}

// arpTargets parses a list of addresses. The bonding driver supports 16.
func arpTargets(text string) (string, error) {
	targets := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	if len(targets) == 0 || len(targets) > 16 {
		return "", fmt.Errorf("%.80q: want 1 to 16 IPv4 addresses", text)
	}
	for i, target := range targets {
		a, err := parseAddr(target)
		if err != nil || !a.Is4() {
			return "", fmt.Errorf("%.80q: want an IPv4 address", target)
		}
		targets[i] = a.String()
	}
	return strings.Join(targets, " "), nil
}

// setOption sets an option by its name in the bonding driver, and reports whether there is
// such an option.
func (l *link) setOption(name, value string) (known bool, err error) {
	option, known := bondOptions[strings.ReplaceAll(name, "_", "-")]
	if !known {
		return false, nil
	}
	if option.parse != nil {
		value, err = option.parse(value)
	} else {
		value, err = choice(option.one, value)
	}
	if err == nil {
		if l.options == nil {
			l.options = map[string]string{}
		}
		l.options[option.key] = value
	}
	return true, err
}

func choice(one []string, value string) (string, error) {
	if i, err := strconv.ParseUint(value, 10, 8); err == nil && int(i) < len(one) {
		return one[i], nil
	}
	if !slices.Contains(one, value) {
		return "", fmt.Errorf("%.80q: want one of %s", value, strings.Join(one, ", "))
	}
	return value, nil
}

// setDefaults sets the options that a bond needs, unless they are set.
func (l *link) setDefaults(values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := l.options[bondOptions[name].key]; !ok {
			// The values are constants and valid.
			_, _ = l.setOption(name, values[name])
		}
	}
}
