package cloudconfig

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"coreos/internal/provision/packed"
)

func (d *decoder) config(root *yaml.Node, c *Config) {
	d.mapping(at{"", root}, map[string]field{
		"hostname":            d.hostname(&c.Hostname),
		"ssh_authorized_keys": d.keyLines(&c.SSHAuthorizedKeys),
		"manage_etc_hosts":    d.into(&c.ManageEtcHosts, oneOf("localhost")),
		"users":               func(p at) { d.list(p, func(p at) { d.user(p, &c.Users) }) },
		"write_files":         func(p at) { d.list(p, func(p at) { d.file(p, &c.WriteFiles) }) },
		"coreos":              func(p at) { d.coreos(p, &c.CoreOS) },
	})
}

func (d *decoder) coreos(p at, c *CoreOS) {
	fields := map[string]field{"units": func(p at) { d.list(p, func(p at) { d.unit(p, &c.Units) }) }}
	for name, section := range map[string]struct {
		to   *Settings
		keys map[string]setting
	}{
		"etcd": {&c.Etcd, etcdKeys}, "etcd2": {&c.Etcd, etcdKeys}, "etcd3": {&c.Etcd, etcdKeys},
		"fleet": {&c.Fleet, fleetKeys}, "flannel": {&c.Flannel, flannelKeys}, "locksmith": {&c.Locksmith, locksmithKeys},
		"update": {&c.Update, updateKeys}, "oem": {&c.OEM, oemKeys},
	} {
		fields[name] = d.settings(section.to, section.keys)
	}
	d.mapping(p, fields)
}

// settings returns a field for the environment variables of a daemon.
func (d *decoder) settings(to *Settings, keys map[string]setting) field {
	return func(p at) {
		fields := map[string]field{}
		for name, s := range keys {
			fields[name] = func(p at) {
				if s.instead != "" {
					d.problem(p, "it is no longer there: %s; left out", s.instead)
					return
				}
				check := s.check
				if check == nil {
					check = isLine
				}
				var text string
				if d.into(&text, check)(p); text != "" {
					*to = append(*to, Setting{s.name, text})
				}
			}
		}
		d.mapping(p, fields)
	}
}

func (d *decoder) user(p at, to *[]User) {
	var u User
	before := len(d.problems)
	d.mapping(p, map[string]field{
		"name":                           d.into(&u.Name, isAccount),
		"passwd":                         d.into(&u.PasswordHash, isPasswd),
		"gecos":                          d.into(&u.GECOS, isPasswd),
		"homedir":                        d.into(&u.Homedir, isHomedir),
		"primary_group":                  d.group(&u.PrimaryGroup),
		"shell":                          d.shell(&u.Shell),
		"groups":                         d.groupList(&u.Groups),
		"ssh_authorized_keys":            d.keyLines(&u.SSHAuthorizedKeys),
		"coreos_ssh_import_url":          d.texts(&u.SSHImportURLs, isURL),
		"coreos_ssh_import_github":       d.githubKeys(&u.SSHImportURLs),
		"coreos_ssh_import_github_users": d.githubKeys(&u.SSHImportURLs),
		"no_create_home":                 d.flag(&u.NoCreateHome),
		"no_user_group":                  d.flag(&u.NoUserGroup),
		"system":                         d.flag(&u.System),
		"no_log_init":                    d.flag(&u.NoLogInit),
	})
	if u.Name == "" {
		d.leaveOut(p, before, "name", "the user")
		return
	}
	*to = append(*to, u)
}

// githubKeys returns a field for accounts on GitHub whose public keys are downloaded.
func (d *decoder) githubKeys(to *[]string) field {
	return func(p at) {
		var accounts []string
		d.texts(&accounts, matching(`[A-Za-z0-9][A-Za-z0-9-]{0,38}`, "the name of an account"))(p)
		for _, account := range accounts {
			*to = append(*to, "https://github.com/"+account+".keys")
		}
	}
}

func (d *decoder) unit(p at, to *[]Unit) {
	var u Unit
	before := len(d.problems)
	d.mapping(p, map[string]field{
		"name":    d.into(&u.Name, isUnit),
		"content": d.into(&u.Content, nil),
		"command": d.into(&u.Command, oneOf("start", "stop", "restart", "reload", "try-restart", "reload-or-restart", "reload-or-try-restart")),
		"mask":    d.flag(&u.Mask),
		"enable":  d.flag(&u.Enable),
		"runtime": d.flag(&u.Runtime),
		"drop_ins": func(p at) {
			d.list(p, func(p at) { d.dropIn(p, &u.DropIns) })
		},
	})
	if u.Name == "" {
		d.leaveOut(p, before, "name", "the unit")
		return
	}
	*to = append(*to, u)
}

func (d *decoder) dropIn(p at, to *[]DropIn) {
	var in DropIn
	before := len(d.problems)
	d.mapping(p, map[string]field{"name": d.into(&in.Name, isDropIn), "content": d.into(&in.Content, nil)})
	if in.Name == "" {
		d.leaveOut(p, before, "name", "the drop-in")
		return
	}
	*to = append(*to, in)
}

func (d *decoder) file(p at, to *[]File) {
	f := File{Mode: 0o644}
	var encoding, content, mode string
	contentAt, before, errors := p, len(d.problems), d.errors
	d.mapping(p, map[string]field{
		"path":        d.into(&f.Path, isPath),
		"owner":       d.into(&f.Owner, isOwner),
		"permissions": d.into(&mode, isMode),
		"encoding":    d.into(&encoding, oneOf("base64", "b64", "gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64")),
		"content": func(p at) {
			contentAt = p
			d.into(&content, nil)(p)
		},
	})
	if f.Path == "" || d.errors > errors {
		// A file with half of its attributes could show a secret to everyone.
		d.leaveOut(p, before, "path", "the file")
		return
	}
	if mode != "" {
		bits, _ := strconv.ParseUint(mode, 8, 32) // isMode has checked it
		f.Mode = uint32(bits)
	}
	var err error
	if f.Data, err = unpack(content, encoding); err != nil {
		d.problem(contentAt, "%v; the file %s is left out", err, f.Path)
		return
	}
	if HasWindowsLines(f.Data) {
		d.warn(contentAt, "the script %s has line ends of Windows (CRLF): the kernel finds no interpreter whose name ends in CR", f.Path)
	}
	*to = append(*to, f)
}

// unpack decodes content by its encoding.
func unpack(content, encoding string) (data []byte, err error) {
	data = []byte(content)
	if strings.HasSuffix(encoding, "64") {
		data, err = packed.Base64(content)
	}
	if err == nil && strings.HasPrefix(encoding, "gz") {
		data, err = packed.Gunzip(data, MaxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", encoding, err)
	}
	return data, nil
}
