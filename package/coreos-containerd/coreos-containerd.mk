################################################################################
#
# coreos-containerd
#
################################################################################

# One binary; ctr is a link to it. Left out are snapshotters of file systems and volumes that
# this system does not have, traces for OpenTelemetry, and Intel's cache allocation.
COREOS_CONTAINERD_BUILD_TARGETS = cmd/containerd
COREOS_CONTAINERD_LINKS = ctr
COREOS_CONTAINERD_TAGS = no_devmapper no_zfs no_tracing no_rdt
COREOS_CONTAINERD_LDFLAGS = $(COREOS_CONTAINERD_VERSION_LDFLAGS)

$(eval $(coreos-go-package))
