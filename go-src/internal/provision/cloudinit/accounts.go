package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"coreos/internal/provision/cloudconfig"
)

// Accounts changes accounts with the programs of shadow-utils.
type Accounts interface {
	// Run runs a program with the input.
	Run(ctx context.Context, input, name string, args ...string) error
}

// Shadow runs the system's shadow-utils.
type Shadow struct{}

// Run implements Accounts.
func (Shadow) Run(ctx context.Context, input, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Stdin = strings.NewReader(input)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// account is a line of passwd.
type account struct {
	uid, gid int
	home     string
}

// errNoAccount says that there is no such account.
var errNoAccount = errors.New("there is no such account")

// account returns the account with a name.
func (t tree) account(name string) (account, error) {
	fields, err := t.lookUp("/etc/passwd", name, 7)
	if err != nil {
		return account{}, err
	}
	uid, err1 := strconv.Atoi(fields[2])
	gid, err2 := strconv.Atoi(fields[3])
	if err := errors.Join(err1, err2); err != nil {
		return account{}, fmt.Errorf("/etc/passwd: %s: %w", name, err)
	}
	return account{uid, gid, fields[5]}, nil
}

// lookUp returns the fields of the line with a name in passwd, shadow or group.
func (t tree) lookUp(path, name string, fields int) ([]string, error) {
	text, err := t.read(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if parts := strings.Split(strings.TrimSuffix(line, "\n"), ":"); parts[0] == name && len(parts) >= fields {
			return parts, nil
		}
	}
	return nil, fmt.Errorf("%s: %w: %s", path, errNoAccount, name)
}

// ThisMachine returns what a config is checked against.
func ThisMachine() (*cloudconfig.Machine, error) {
	root := tree("/")
	text, err := root.read("/etc/group")
	m := &cloudconfig.Machine{HasFile: root.exists}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, ":")
		m.Groups = append(m.Groups, name)
	}
	return m, err
}

// owner returns the user and the group that own a file of write_files; root by default.
func (t tree) owner(text string) (uid, gid int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	user, group, hasGroup := strings.Cut(text, ":")
	if uid, err = strconv.Atoi(user); err != nil {
		a, err := t.account(user)
		if err != nil {
			return 0, 0, err
		}
		uid, gid = a.uid, a.gid
	}
	if !hasGroup {
		return uid, gid, nil
	}
	if gid, err = strconv.Atoi(group); err == nil {
		return uid, gid, nil
	}
	fields, err := t.lookUp("/etc/group", group, 4)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(fields[2])
	return uid, gid, err
}

// user creates an account. If it exists, user sets its password, groups and keys. What is wrong
// with one of them does not keep the others from being set: somebody may need the account to
// mend it.
func (a *Applier) user(ctx context.Context, u cloudconfig.User) error {
	var failed error
	do := func(err error) {
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("user %s: %w", u.Name, err))
		}
	}
	do(a.leaveOutGroups(&u))
	_, err := a.Root.account(u.Name)
	switch {
	case errors.Is(err, errNoAccount):
		a.withoutOwnGroup(&u)
		if err = a.Accounts.Run(ctx, "", "useradd", useradd(u)...); err == nil {
			a.changed("made user %s", u.Name)
		}
	case err == nil:
		do(a.join(ctx, u))
	}
	if do(err); err != nil {
		return failed
	}
	do(a.password(ctx, u))
	keys, complete, err := a.importKeys(ctx, u)
	do(err)
	keys = append(slices.Clip(u.SSHAuthorizedKeys), keys...)
	if !complete {
		keys = append(keys, a.earlierKeys(u.Name, keys)...)
	}
	return errors.Join(failed, a.authorize(u.Name, keys))
}

// leaveOutGroups removes groups that the machine does not have from an account. The error names
// them. useradd would make no account at all.
func (a *Applier) leaveOutGroups(u *cloudconfig.User) error {
	var failed error
	exists := func(name string) bool {
		_, err := a.Root.lookUp("/etc/group", name, 4)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("there is no group %s on this machine; left out", name))
		}
		return err == nil
	}
	u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(name string) bool { return !exists(name) })
	if u.PrimaryGroup != "" && !exists(u.PrimaryGroup) {
		u.PrimaryGroup = ""
	}
	return failed
}

// withoutOwnGroup makes an account without a group of its own if there is a group of its name,
// which useradd refuses. The account is no member of that group, which may have rights.
func (a *Applier) withoutOwnGroup(u *cloudconfig.User) {
	if _, err := a.Root.lookUp("/etc/group", u.Name, 4); err == nil && u.PrimaryGroup == "" && !u.NoUserGroup {
		u.NoUserGroup = true
		slog.Warn("there is a group of the same name; the user gets the default group", "user", u.Name)
	}
}

// useradd returns the arguments of useradd(8) for an account.
func useradd(u cloudconfig.User) []string {
	var args []string
	if u.Shell == "" {
		u.Shell = "/bin/bash"
	}
	for _, of := range []struct{ flag, value string }{
		{"--comment", u.GECOS}, {"--home-dir", u.Homedir}, {"--gid", u.PrimaryGroup}, {"--shell", u.Shell}, {"--groups", strings.Join(u.Groups, ",")},
	} {
		if of.value != "" {
			args = append(args, of.flag, of.value)
		}
	}
	for _, of := range []struct {
		flag string
		set  bool
	}{
		{"--create-home", !u.NoCreateHome}, {"--no-create-home", u.NoCreateHome}, {"--no-user-group", u.NoUserGroup},
		{"--system", u.System}, {"--no-log-init", u.NoLogInit},
	} {
		if of.set {
			args = append(args, of.flag)
		}
	}
	return append(args, "--", u.Name)
}

// join adds an account to its groups, unless it is a member.
func (a *Applier) join(ctx context.Context, u cloudconfig.User) error {
	for _, group := range u.Groups {
		fields, err := a.Root.lookUp("/etc/group", group, 4)
		if err != nil {
			return err
		}
		if slices.Contains(strings.Split(fields[3], ","), u.Name) {
			continue
		}
		if err := a.Accounts.Run(ctx, "", "usermod", "--append", "--groups", group, "--", u.Name); err != nil {
			return err
		}
		a.changed("user %s is in group %s", u.Name, group)
	}
	return nil
}

// password sets the password hash, unless it is set already.
func (a *Applier) password(ctx context.Context, u cloudconfig.User) error {
	if u.PasswordHash == "" {
		return nil
	}
	if fields, err := a.Root.lookUp("/etc/shadow", u.Name, 2); err == nil && fields[1] == u.PasswordHash {
		return nil
	}
	// The hash is on standard input, since all users can see the arguments of a program.
	if err := a.Accounts.Run(ctx, u.Name+":"+u.PasswordHash+"\n", "chpasswd", "--encrypted"); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	a.changed("user %s has another password", u.Name)
	return nil
}

// authorize writes the keys that may log in as a user. They are in a file of their own, so
// that other keys stay.
func (a *Applier) authorize(user string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	who, err := a.Root.account(user)
	if err != nil {
		return fmt.Errorf("keys of user %s: %w", user, err)
	}
	for _, dir := range []string{who.home + "/.ssh", who.home + "/.ssh/authorized_keys.d"} {
		if err := a.Root.ownDirectory(dir, who.uid, who.gid); err != nil {
			return fmt.Errorf("keys of user %s: %w", user, err)
		}
	}
	return a.write(file{a.keyFile(who), []byte(strings.Join(keys, "\n") + "\n"), 0o600, who.uid, who.gid})
}
