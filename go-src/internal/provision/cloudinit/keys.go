package cloudinit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"coreos/internal/cli/redact"
	"coreos/internal/provision/cloudconfig"
	"coreos/internal/provision/sshkey"
)

// importKeys downloads keys from the URLs in the config. complete says that all URLs answered.
// A line that is no key is left out, and is in the error.
func (a *Applier) importKeys(ctx context.Context, u cloudconfig.User) (keys []string, complete bool, failed error) {
	complete = true
	for _, url := range u.SSHImportURLs {
		text, err := a.Fetch(ctx, url)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("keys: %w", err))
			complete = false
			continue
		}
		found, warnings, err := sshkey.Document(text)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("keys of %s: %w; left out", redact.URL(url), err))
			complete = complete && len(found) > 0
		}
		for _, warning := range warnings {
			slog.Warn("keys of "+redact.URL(url), "problem", warning)
		}
		keys = append(keys, found...)
	}
	return keys, complete, failed
}

// maxKeyFile is the size limit of the file of an earlier run in bytes.
const maxKeyFile = 1 << 20

// earlierKeys returns the keys that an earlier run wrote, without those in keys. They count as
// long as a URL does not answer, so that nobody is locked out by a network that is down.
func (a *Applier) earlierKeys(user string, keys []string) []string {
	who, err := a.Root.account(user)
	if err != nil {
		return nil
	}
	text, err := a.Root.readOfUser(a.keyFile(who), maxKeyFile)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line == "" || slices.Contains(keys, line) })
}

// keyFile returns the path of the file with the keys of an account.
func (a *Applier) keyFile(who account) string {
	return who.home + "/.ssh/authorized_keys.d/" + a.KeyName
}
