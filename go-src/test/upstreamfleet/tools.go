//go:build tools

package upstreamfleet

import _ "github.com/coreos/fleet/fleetctl"
