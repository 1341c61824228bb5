// This module is not part of the product: tests build upstream's fleetctl with it, to
// compare ours with it. Upstream's packages cannot share a module with etcd 3.7.
module coreos/test/upstreamfleet

go 1.26.0

require github.com/coreos/fleet v1.0.0

require (
	github.com/coreos/etcd v3.3.27+incompatible // indirect
	github.com/coreos/go-semver v0.3.1 // indirect
	github.com/coreos/go-systemd v0.0.0-20161114122254-48702e0da86b // indirect
	github.com/jonboulle/clockwork v0.5.0 // indirect
	github.com/prometheus/client_golang v0.9.4 // indirect
	github.com/rakyll/globalconf v0.0.0-20180912185831-87f8127c421f // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.10 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
	google.golang.org/api v0.3.2 // indirect
	google.golang.org/grpc v1.26.0 // indirect
)
