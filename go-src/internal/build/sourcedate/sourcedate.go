// Package sourcedate returns the time that a reproducible build writes into its results
// (SOURCE_DATE_EPOCH, https://reproducible-builds.org/specs/source-date-epoch/).
package sourcedate

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Now returns the time in SOURCE_DATE_EPOCH (seconds since 1970), or the current time if
// that is not set.
func Now() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
