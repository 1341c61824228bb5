package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"coreos/internal/update/status"
)

func TestMetrics(t *testing.T) {
	m := Metrics{func() status.Status {
		return status.Status{Version: "1.0.0", Proven: true, Operation: status.NeedReboot, NewVersion: "2.0.0", LastChecked: time.Unix(1234, 0), Refused: map[string]string{"1.5.0": "panic"}}
	}}
	want := `
# HELP update_engine_info 1, with the version that runs, and the one that waits for a restart.
# TYPE update_engine_info gauge
update_engine_info{next_version="2.0.0",version="1.0.0"} 1
# HELP update_engine_last_check_timestamp_seconds When the server last answered, in seconds since 1970; 0 if it never did.
# TYPE update_engine_last_check_timestamp_seconds gauge
update_engine_last_check_timestamp_seconds 1234
# HELP update_engine_reboot_needed 1 if an update waits for a restart.
# TYPE update_engine_reboot_needed gauge
update_engine_reboot_needed 1
# HELP update_engine_rolled_back_versions How many versions were rolled back on this machine.
# TYPE update_engine_rolled_back_versions gauge
update_engine_rolled_back_versions 1
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "update_engine_info", "update_engine_last_check_timestamp_seconds",
		"update_engine_reboot_needed", "update_engine_rolled_back_versions"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(m); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
