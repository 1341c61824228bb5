package membership

import (
	"log/slog"
	"time"
)

// complaint is the last warning that the machine cannot join.
type complaint struct {
	text string
	at   time.Duration
}

// warnTime is how often the same warning is repeated.
const warnTime = time.Minute

// warn logs an error, if it is another one than the last or was not logged for some time: the
// attempts to join are a second apart.
func (c *complaint) warn(now time.Duration, err error) {
	if err.Error() == c.text && now-c.at < warnTime {
		return
	}
	c.text, c.at = err.Error(), now
	slog.Warn("this machine cannot join the cluster, and tries again", "every", retryTime, "error", err)
}
