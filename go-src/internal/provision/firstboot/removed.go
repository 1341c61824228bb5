package firstboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// removeUsers removes users whose home belongs to somebody else, such as those of the system:
// userdel(8) would remove the user, but fail over the home, and Ignition with it.
func (f *FirstBoot) removeUsers(ctx context.Context, c *config) error {
	for _, user := range c.Passwd.Users {
		if !user.isRemoved() {
			continue
		}
		home, foreign, err := foreignHome("/etc/passwd", user.Name)
		if err != nil {
			return err
		}
		if !foreign {
			continue
		}
		if err := f.tool(ctx, "userdel", user.Name); err != nil {
			return err
		}
		f.Log.Warning("first boot: the user %s is removed; its home %s stays, since it belongs to another user", user.Name, home)
	}
	return nil
}

// foreignHome returns the home of a user, and whether it is there and belongs to another user.
func foreignHome(passwd, user string) (home string, foreign bool, err error) {
	text, err := os.ReadFile(passwd)
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if fields[0] != user || len(fields) < 7 {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return "", false, fmt.Errorf("%s: user %s: %w", passwd, user, err)
		}
		info, err := os.Stat(fields[5])
		if errors.Is(err, fs.ErrNotExist) {
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		return fields[5], ok && uint64(owner.Uid) != uid, nil
	}
	return "", false, nil
}

// Directories of sysusers.d(5): the slot's, and the machine's, whose files replace those of the
// slot by their names.
const slotSysusers, ownSysusers = "/usr/lib/sysusers.d", "/etc/sysusers.d"

// keepRemoved keeps systemd-sysusers from making accounts again that the config removes, which it
// would do later in this boot and after each update.
func (f *FirstBoot) keepRemoved(c *config, root string) error {
	gone := map[string]bool{}
	for _, user := range c.Passwd.Users {
		if user.isRemoved() {
			gone["u "+user.Name] = true
		}
	}
	for _, group := range c.Passwd.Groups {
		if group.isRemoved() {
			gone["g "+group.Name] = true
		}
	}
	if len(gone) == 0 {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(root, slotSysusers, "*.conf"))
	if err != nil {
		return err
	}
	for _, file := range files {
		own := filepath.Join(root, ownSysusers, filepath.Base(file))
		if exists(own) {
			continue // the config has a file of its own
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		kept, changed := withoutAccounts(string(text), gone)
		if !changed {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
			return err
		}
		head := "# The slot's " + filepath.Join(slotSysusers, filepath.Base(file)) + ", without accounts that the config of this machine removes.\n"
		if err := os.WriteFile(own, []byte(head+kept), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withoutAccounts returns lines of sysusers.d(5) without those that make an account in gone,
// whose keys are "u NAME" and "g NAME".
func withoutAccounts(text string, gone map[string]bool) (kept string, changed bool) {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			lines.WriteString(line)
			continue
		}
		makes := gone[words[0][:1]+" "+words[1]]
		if words[0] == "m" && len(words) > 2 { // adds a user to a group, and makes both
			makes = gone["u "+words[1]] || gone["g "+words[2]]
		}
		if makes {
			changed = true
			continue
		}
		lines.WriteString(line)
	}
	return lines.String(), changed
}
