package cloudconfig

import "strings"

// setting is a key of a section that sets an environment variable.
type setting struct {
	name  string
	check func(string) string // isLine, if nil
	// instead says what to use if the key has no effect any more; "" if it has.
	instead string
}

// environment returns the settings whose keys are the names of their variables without the
// prefix.
func environment(prefix, keys string) map[string]setting {
	settings := map[string]setting{}
	for _, key := range strings.Fields(keys) {
		settings[strings.ReplaceAll(key, "-", "_")] = setting{name: prefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))}
	}
	return settings
}

// etcdKeys are the flags of etcd 3.7 (https://etcd.io/docs/v3.7/op-guide/configuration/), those that
// this system adds, and the former flags of etcd 0.4 and 2.
var etcdKeys = func() map[string]setting {
	settings := environment("ETCD_", `
		name data-dir wal-dir snapshot-count heartbeat-interval election-timeout initial-election-tick-advance
		listen-peer-urls listen-client-urls listen-client-http-urls listen-metrics-urls max-snapshots max-wals
		quota-backend-bytes backend-bbolt-freelist-type backend-batch-interval backend-batch-limit
		max-txn-ops max-request-bytes max-concurrent-streams
		grpc-keepalive-min-time grpc-keepalive-interval grpc-keepalive-timeout socket-reuse-port socket-reuse-address
		initial-advertise-peer-urls initial-cluster initial-cluster-state initial-cluster-token advertise-client-urls
		discovery-token discovery-endpoints discovery-dial-timeout discovery-request-timeout
		discovery-keepalive-time discovery-keepalive-timeout discovery-insecure-transport discovery-insecure-skip-tls-verify
		discovery-cert discovery-key discovery-cacert discovery-user discovery-password
		discovery-proxy discovery-fallback discovery-srv discovery-srv-name strict-reconfig-check pre-vote
		auto-compaction-retention auto-compaction-mode cors host-whitelist
		cert-file key-file client-cert-auth client-cert-file client-key-file client-crl-file client-cert-allowed-hostname trusted-ca-file auto-tls
		peer-cert-file peer-key-file peer-client-cert-auth peer-client-cert-file peer-client-key-file peer-trusted-ca-file
		peer-cert-allowed-cn peer-cert-allowed-hostname peer-auto-tls peer-crl-file
		self-signed-cert-validity cipher-suites tls-min-version tls-max-version
		auth-token bcrypt-cost auth-token-ttl enable-pprof metrics logger log-outputs log-level log-format
		enable-log-rotation log-rotation-config-json force-new-cluster unsafe-no-fsync
		enable-distributed-tracing warning-apply-duration warning-unary-request-duration
		corrupt-check-time compact-hash-check-enabled compact-hash-check-time watch-progress-notify-interval
		coreos-trusted-names coreos-trusted-networks coreos-protected-keys`)
	for keys, instead := range map[string]string{
		"addr bind_addr":          "use listen-client-urls and advertise-client-urls",
		"peer_addr":               "use listen-peer-urls and initial-advertise-peer-urls",
		"peer_bind_addr":          "use listen-peer-urls",
		"peers peers_file":        "use initial-cluster",
		"discovery":               "use discovery-endpoints and discovery-token, or initial-cluster",
		"ca_file":                 "use trusted-ca-file and client-cert-auth",
		"peer_ca_file":            "use peer-trusted-ca-file and peer-client-cert-auth",
		"cors_origins":            "use cors",
		"snapshotcount":           "use snapshot-count",
		"peer_election_timeout":   "use election-timeout",
		"peer_heartbeat_interval": "use heartbeat-interval",
		"debug verbose very_verbose very_very_verbose trace log_package_levels":                                     "use log-level",
		"proxy proxy_dial_timeout proxy_failure_wait proxy_read_timeout proxy_refresh_interval proxy_write_timeout": "run etcd gateway in a container",
		"cluster_active_size cluster_remove_delay cluster_sync_interval cpu_profile_file graphite_host http_read_timeout " +
			"http_write_timeout max_result_buffer max_retry_attempts retry_interval snapshot": "etcd 3 needs nothing like it",
	} {
		for _, key := range strings.Fields(keys) {
			settings[key] = setting{instead: instead}
		}
	}
	return settings
}()

var fleetKeys = environment("FLEET_", `agent-ttl authorized-keys-file disable-engine disable-watches engine-reconcile-interval
	etcd-cafile etcd-certfile etcd-keyfile etcd-key-prefix etcd-request-timeout etcd-servers etcd-username etcd-password
	metadata public-ip token-limit verbosity verify-units
	api-cafile api-certfile api-insecure api-keyfile api-writers cut-off max-units metrics-address`)

var flannelKeys = func() map[string]setting {
	settings := environment("FLANNELD_", `etcd-endpoints etcd-cafile etcd-certfile etcd-keyfile etcd-prefix etcd-username etcd-password
		ip-masq subnet-file public-ip`)
	settings["interface"] = setting{name: "FLANNELD_IFACE"}
	return settings
}()

var locksmithKeys = func() map[string]setting {
	settings := environment("LOCKSMITHD_", `endpoint etcd-cafile etcd-certfile etcd-keyfile etcd-username etcd-password group`)
	settings["window_start"] = setting{name: "REBOOT_WINDOW_START", check: isWindow}
	settings["window_length"] = setting{name: "REBOOT_WINDOW_LENGTH", check: isDuration}
	return settings
}()

var updateKeys = map[string]setting{
	"reboot_strategy": {name: "REBOOT_STRATEGY", check: oneOf("etcd-lock", "reboot", "off", "best-effort")},
	"group":           {name: "GROUP"},
	"server":          {name: "SERVER"},
}

var oemKeys = environment("", "id name version-id home-url bug-report-url")
